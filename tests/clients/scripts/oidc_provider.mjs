// A certified OpenID provider that issues access tokens to a client of its own: `node oidc_provider.mjs AUDIENCE`.
// Says its issuer when it listens; for each line on its standard input it takes a new key in place of the old one.

import { generateKeyPairSync } from "node:crypto";
import http from "node:http";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const { default: Provider } = await import(
  pathToFileURL(`${process.env.PACKAGES}/node_modules/oidc-provider/lib/index.js`).href
);
const audience = process.argv[2];

function provider(issuer, kid) {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return new Provider(issuer, {
    jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), kid, use: "sig", alg: "RS256" }] },
    clients: [
      {
        client_id: "trainer",
        client_secret: "canary-of-the-client",
        grant_types: ["client_credentials"],
        redirect_uris: [],
        response_types: [],
      },
    ],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => "urn:alluxio",
        getResourceServerInfo: () => ({ scope: "", audience, accessTokenFormat: "jwt", accessTokenTTL: 900 }),
      },
    },
    extraTokenClaims: () => ({ groups: ["trainers"] }),
  });
}

let number = 1;
let answer;
const server = http.createServer((request, response) => answer(request, response));
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const renew = () => {
    answer = provider(issuer, `key-${number++}`).callback();
    console.log(issuer);
  };
  renew();
  createInterface({ input: process.stdin }).on("line", renew);
});
