// node-oidc-provider as its documentation advises for production: JWT access tokens (ES256) by
// resource indicators, refresh tokens rotated at each use, everything in Redis by an adapter of the
// documented shape.  PEER_PORT, PEER_WORKERS, PEER_REDIS_URL, PEER_COUNT; when it serves it prints
// one line of JSON: a client, and tokens of PEER_COUNT people who have signed in.

import cluster from 'node:cluster';
import { generateKeyPairSync } from 'node:crypto';
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.PEER_FOLDER}/package.json`);
const { Provider } = await import(require.resolve('oidc-provider'));
const Redis = require('ioredis');

const port = Number(process.env.PEER_PORT);
const issuer = `http://localhost:${port}`;
const api = 'urn:bench:api';
const redis = new Redis(process.env.PEER_REDIS_URL, { keyPrefix: 'oidc:' });

const grantable = new Set(['AccessToken', 'AuthorizationCode', 'RefreshToken', 'DeviceCode',
  'BackchannelAuthenticationRequest']);
const consumable = new Set(['AuthorizationCode', 'RefreshToken', 'DeviceCode',
  'BackchannelAuthenticationRequest']);

class Adapter {
  constructor(name) { this.name = name; }

  key(id) { return `${this.name}:${id}`; }

  async upsert(id, payload, expiresIn) {
    const key = this.key(id);
    const multi = redis.multi();
    if (consumable.has(this.name)) {
      multi.hset(key, { payload: JSON.stringify(payload) });
    } else {
      multi.set(key, JSON.stringify(payload));
    }
    if (expiresIn) multi.expire(key, expiresIn);
    if (grantable.has(this.name) && payload.grantId) {
      const grant = `grant:${payload.grantId}`;
      multi.rpush(grant, key);
      multi.expire(grant, expiresIn || 3600);
    }
    await multi.exec();
  }

  async find(id) {
    if (!consumable.has(this.name)) {
      const text = await redis.get(this.key(id));
      return text ? JSON.parse(text) : undefined;
    }
    const { payload, ...rest } = await redis.hgetall(this.key(id));
    return payload ? { ...rest, ...JSON.parse(payload) } : undefined;
  }

  async findByUid() { return undefined; }

  async findByUserCode() { return undefined; }

  async destroy(id) { await redis.del(this.key(id)); }

  async consume(id) { await redis.hset(this.key(id), 'consumed', Math.floor(Date.now() / 1000)); }

  async revokeByGrantId(grantId) {
    const keys = await redis.lrange(`grant:${grantId}`, 0, -1);
    await redis.del(`grant:${grantId}`, ...keys);
  }
}

const clientId = 'bench';
const clientSecret = 'a-secret-of-the-bench-that-lives-for-a-minute';

function provider() {
  return new Provider(issuer, {
    adapter: Adapter,
    jwks: { keys: [JSON.parse(process.env.PEER_JWK)] },
    clients: [{
      client_id: clientId,
      client_secret: clientSecret,
      grant_types: ['client_credentials', 'authorization_code', 'refresh_token'],
      redirect_uris: ['https://client.example/back'],
      response_types: ['code'],
      id_token_signed_response_alg: 'ES256',
      scope: 'openid offline_access api',
    }],
    clientAuthMethods: ['client_secret_basic'],
    cookies: { keys: ['a key of the bench'] },
    scopes: ['openid', 'offline_access', 'api'],
    enabledJWA: { idTokenSigningAlgValues: ['ES256'] },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      userinfo: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: (_ctx, client, oneOf) => oneOf ?? api,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: 'api',
          audience: api,
          accessTokenFormat: 'jwt',
          accessTokenTTL: 900,
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
    findAccount: (_ctx, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@bench.example`, name: 'Person' }),
    }),
    rotateRefreshToken: true,
    ttl: { AccessToken: 900, ClientCredentials: 900, RefreshToken: 86400, Grant: 86400 },
  });
}

async function seed(op, count) {
  const client = await op.Client.find(clientId);
  const people = [];
  for (let n = 0; n < count; n += 1) {
    const accountId = `person-${n}`;
    const grant = new op.Grant({ accountId, clientId });
    grant.addOIDCScope('openid offline_access');
    grant.addResourceScope(api, 'api');
    const grantId = await grant.save();
    const common = {
      accountId, client, grantId, gty: 'authorization_code', authTime: Math.floor(Date.now() / 1000),
    };
    const refresh = new op.RefreshToken({
      ...common, scope: 'openid offline_access api', resource: api, rotations: 0,
      iiat: Math.floor(Date.now() / 1000),
    });
    const access = new op.AccessToken({ ...common, scope: 'openid' });
    people.push({ refresh_token: await refresh.save(), access_token: await access.save() });
  }
  return people;
}

if (cluster.isPrimary) {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk = { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256', kid: 'bench' };
  process.env.PEER_JWK = JSON.stringify(jwk);
  const people = await seed(provider(), Number(process.env.PEER_COUNT));
  const workers = Number(process.env.PEER_WORKERS);
  let listening = 0;
  cluster.on('listening', () => {
    listening += 1;
    if (listening === workers) {
      console.log(JSON.stringify({ client_id: clientId, client_secret: clientSecret, people }));
    }
  });
  for (let n = 0; n < workers; n += 1) cluster.fork();
} else {
  provider().listen(port, '127.0.0.1');
}
