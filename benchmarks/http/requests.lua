-- The requests that wrk sends, in turn: one for each line "METHOD PATH [RANGE [SIGNATURE]]" of the file that is named after "--".
-- "-" is no range. A signature takes the place of the one at the end of the header Authorization.
-- The headers given to wrk go with each. At the end what was measured is printed as one line of JSON, times in microseconds.

local requests = {}
local at = 0

function init(arguments)
    local authorization = wrk.headers["Authorization"]
    for line in io.lines(arguments[1]) do
        local method, path, range, signature = line:match("^(%S+) (%S+) ?(%S*) ?(%S*)$")
        wrk.headers["Range"] = range ~= "" and range ~= "-" and range or nil
        if signature ~= "" then
            wrk.headers["Authorization"] = authorization:sub(1, -#signature - 1) .. signature
        end
        requests[#requests + 1] = wrk.format(method, path)
    end
end

function request()
    at = at % #requests + 1
    return requests[at]
end

function done(summary, latency)
    local errors = summary.errors
    print(string.format('{"requests": %d, "microseconds": %d, "bytes": %d, "failed": %d, "median": %d, "p99": %d}',
        summary.requests, summary.duration, summary.bytes,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout,
        latency:percentile(50), latency:percentile(99)))
end
