-- The requests that wrk sends, in turn: one for each line "METHOD PATH [RANGE]" of the file that is named after "--".
-- The headers given to wrk go with each. At the end what was measured is printed as one line of JSON, times in microseconds.

local requests = {}
local at = 0

function init(arguments)
    for line in io.lines(arguments[1]) do
        local method, path, range = line:match("^(%S+) (%S+) ?(%S*)$")
        wrk.headers["Range"] = range ~= "" and range or nil
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
