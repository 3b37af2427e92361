// Checks access tokens of Tesserra Auth with nothing but the JWKS and the feed of revocations.
// Node 18 or newer, no packages; the rules are those of README.md, "Without this library".
//
//   const verifier = follow({ issuer, audience, clientId, clientSecret });
//   const claims = await verifier.verify(token);   // or a Refused: its status is 401 or 503
//   verifier.close();
//
// To try it: node recipe.mjs ISSUER AUDIENCE CLIENT_ID CLIENT_SECRET, then one token a line.

import { createPublicKey, verify as isSigned } from "node:crypto";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const LEEWAY = 10; // seconds that clocks may differ
const STALEST = 5; // seconds after which revocations are too old to vouch for a token
const KEYS_EVERY = 300;
const KEYS_AT_MOST_EVERY = 5; // for the sake of an unknown kid
const ANSWER_WITHIN = 2.5;
const WHOLE = new Set(["jti", "sid", "kid", "akid"]); // these kinds spare no later token
const TYPES = { ES256: "EC P-256", RS256: "RSA ", EdDSA: "OKP Ed25519" };

export class Refused extends Error {
  constructor(status, why) {
    super(why);
    this.status = status;
  }
}

export function follow({ issuer, audience, clientId, clientSecret, baseUrl = issuer }) {
  const revoked = new Map(); // kind -> value (in one organization: and that) -> { cutoff, ends }
  const closing = new AbortController();
  let keys = new Map(); // kid -> { alg, key }
  let keysAsked = -Infinity;
  let keysFailed = true;
  let after; // the cursor, and the epoch it counts in
  let epoch;
  let fresh = -Infinity; // the revocations are complete as of then
  let ahead = -Infinity; // the service's time less ours (monotonic)
  let bearer;
  let tenant; // the organization of this client, if it has one

  async function ask(path, { wait = 0, ...options } = {}) {
    const signal = AbortSignal.timeout((ANSWER_WITHIN + wait) * 1000);
    const answer = await fetch(baseUrl + path, { redirect: "error", signal, ...options });
    if (!answer.ok) throw Object.assign(new Error(`${path}: ${answer.status}`), answerOf(answer));
    return answer.json();
  }

  async function readKeys() {
    keysAsked = monotonic();
    keysFailed = true; // what is at hand stays until there is something better
    const { keys: members } = await ask("/.well-known/jwks.json");
    const found = new Map();
    for (const jwk of members) {
      const alg = Object.keys(TYPES).find((a) => TYPES[a] === `${jwk.kty} ${jwk.crv ?? ""}`);
      if (!alg || (jwk.alg ?? alg) !== alg || (jwk.use ?? "sig") !== "sig") continue;
      found.set(jwk.kid, { alg, key: createPublicKey({ key: jwk, format: "jwk" }) });
    }
    if (!found.size) throw new Error("no key in the JWKS");
    keys = found;
    keysFailed = false;
  }

  async function signIn() {
    const pair = [clientId, clientSecret].map((text) => new URLSearchParams({ _: text }).toString().slice(2));
    const told = await ask("/oauth/token", {
      method: "POST",
      headers: { Authorization: `Basic ${Buffer.from(pair.join(":")).toString("base64")}` },
      body: new URLSearchParams({ grant_type: "client_credentials", scope: "revocations:read" }),
    });
    bearer = told.access_token;
    tenant = read(bearer.split(".")[1]).tenant_id;
  }

  async function readFeed() {
    if (!bearer) await signIn();
    const asked = monotonic();
    const wait = asked - fresh < 2 ? 1 : 0;
    const cursor = after === undefined ? "" : `&after=${after}`;
    const headers = { Authorization: `Bearer ${bearer}` };
    const page = await ask(`/revocations?limit=5000&wait=${wait}${cursor}`, { wait, headers });
    if (!Number.isSafeInteger(page.next)) throw new Error("not a page");
    for (const entry of page.entries) add(entry);
    ahead = Math.max(ahead, Date.parse(page.now) / 1000 - monotonic());
    const restored = after !== undefined && page.epoch !== epoch;
    epoch = page.epoch;
    after = restored ? undefined : page.next; // restored: all of it again, on top of what is known
    if (!restored && !page.has_more) fresh = asked;
    prune();
  }

  function add({ kind, value: named, tenant_id, cutoff, expires_at }) {
    const value = tenant_id == null ? named : within(named, tenant_id);
    if (!revoked.has(kind)) revoked.set(kind, new Map());
    const before = revoked.get(kind).get(value) ?? { cutoff: -Infinity, ends: -Infinity };
    const until = cutoff == null || WHOLE.has(kind) ? Infinity : Math.floor(time(cutoff));
    const ends = kind === "kid" ? Infinity : time(expires_at) + LEEWAY;
    if (kind === "kid" && before.ends !== Infinity) keysAsked = -Infinity; // its successor signs
    revoked.get(kind).set(value, {
      cutoff: Math.max(before.cutoff, until),
      ends: Math.max(before.ends, ends),
    });
  }

  function prune() {
    const now = monotonic() + ahead;
    for (const marks of revoked.values()) {
      for (const [value, { ends }] of marks) if (ends < now) marks.delete(value);
    }
  }

  async function verify(token) {
    const parts = /^([\w-]{1,512})\.([\w-]+)\.([\w-]+)$/.exec(token.length > 8192 ? "" : token);
    if (!parts) throw new Refused(401, "malformed");
    const header = read(parts[1]);
    if (Object.keys(header).sort().join() !== "alg,kid,typ" || header.typ !== "at+jwt") {
      throw new Refused(401, "header");
    }
    if (!keys.has(header.kid) && monotonic() - keysAsked >= KEYS_AT_MOST_EVERY) {
      await readKeys().catch(() => {});
    }
    const found = keys.get(header.kid);
    if (!found && keysFailed) throw new Refused(503, "keys cannot be had");
    if (!found || found.alg !== header.alg) throw new Refused(401, "unknown key");
    const signed = Buffer.from(`${parts[1]}.${parts[2]}`);
    const key = { key: found.key, dsaEncoding: "ieee-p1363" };
    const hash = found.alg === "EdDSA" ? null : "sha256";
    if (!isSigned(hash, signed, key, decode(parts[3]))) {
      throw new Refused(401, "signature");
    }
    const claims = read(parts[2]);
    const now = Math.max(Date.now() / 1000, monotonic() + ahead);
    if (claims.iss !== issuer) throw new Refused(401, "iss");
    if (![claims.aud].flat().includes(audience)) throw new Refused(401, "aud");
    if (Object.hasOwn(claims, "cnf")) throw new Refused(401, "bound to a key"); // no proof is checked
    if (!(now < claims.exp + LEEWAY)) throw new Refused(401, "expired");
    if (!(claims.iat <= now + LEEWAY)) throw new Refused(401, "not yet valid");
    for (const [kind, marks] of revoked) {
      const value = kind === "kid" ? header.kid : claims[kind];
      const cutoffs = [value, within(value, claims.tenant_id)].map((one) => marks.get(one)?.cutoff);
      if (cutoffs.some((until) => Math.floor(claims.iat) <= until)) {
        throw new Refused(401, `revoked: ${kind}`);
      }
    }
    if (monotonic() - fresh > STALEST) throw new Refused(503, "revocations are too old");
    if (tenant && claims.tenant_id && claims.tenant_id !== tenant) throw new Refused(401, "tenant");
    return claims;
  }

  async function forEver(step) {
    while (!closing.signal.aborted) {
      try {
        await step();
      } catch (error) {
        if (error.status === 400) after = undefined; // the feed does not know this cursor
        if (error.status === 401) bearer = undefined;
        await sleep(error.retryAfter ?? 0.5);
      }
    }
  }

  forEver(readFeed);
  forEver(async () => {
    if (monotonic() - keysAsked >= (keysFailed ? 1 : KEYS_EVERY)) await readKeys();
    await sleep(0.1);
  });
  return { verify, close: () => closing.abort() };
}

const monotonic = () => performance.now() / 1000;
const within = (value, tenant) => `${value} ${tenant}`;
const sleep = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

function time(text) {
  const at = Date.parse(text) / 1000;
  if (Number.isNaN(at)) throw new Error("not a time");
  return at;
}

function decode(part) {
  const raw = Buffer.from(part, "base64url");
  if (raw.toString("base64url") !== part) throw new Refused(401, "malformed"); // spare bits are zero
  return raw;
}

function read(part) {
  try {
    return Object(JSON.parse(decode(part).toString()));
  } catch {
    throw new Refused(401, "malformed");
  }
}

function answerOf({ status, headers }) {
  const seconds = Number(headers.get("Retry-After"));
  return { status, retryAfter: seconds > 0 ? Math.min(seconds, 5) : undefined };
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [issuer, audience, clientId, clientSecret, baseUrl] = process.argv.slice(2);
  const verifier = follow({ issuer, audience, clientId, clientSecret, baseUrl });
  for await (const token of createInterface({ input: process.stdin })) {
    const said = verifier.verify(token).then((claims) => `accepted ${claims.sub}`);
    console.log(await said.catch(({ status, message }) => `${status} ${message}`));
  }
  verifier.close();
}
