// jose, a signer that is not ours: what it signs is taken, what is bent is not.
import { createHash, randomBytes } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import { GeneralSign, exportJWK, generateKeyPair } from 'jose';

const people = [];
for (let n = 0; n < 2; n += 1) {
  const { publicKey, privateKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true });
  people.push({ privateKey, x: (await exportJWK(publicKey)).x });
}

const letters = 'abcdefghijklmnopqrstuvwxyz234567';
function keyId(x) {
  const digest = createHash('sha256').update(Buffer.from(x, 'base64url')).digest().subarray(0, 16);
  let bits = [...digest].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  bits = bits.padEnd(Math.ceil(bits.length / 5) * 5, '0');
  return bits.match(/.{5}/g).map((five) => letters[parseInt(five, 2)]).join('');
}

function uuid7() {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(Date.now(), 0, 6);
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

function order(changes = {}) {
  const now = Math.floor(Date.now() / 1000);
  return {
    v: 1, id: uuid7(), gateway: 'sz-03', tenant: 'acme', iat: now, exp: now + 60,
    cmd: 'health', args: {}, reason: 'signed in Node', ...changes,
  };
}

async function signed(payload, keys = [0], header = {}) {
  const token = new GeneralSign(new TextEncoder().encode(JSON.stringify(payload)));
  for (const number of keys) {
    const { privateKey, x } = people[number];
    token.addSignature(privateKey).setProtectedHeader({ alg: 'EdDSA', kid: keyId(x), typ: 'punchgate-cmd+jws', ...header });
  }
  return token.sign();
}

function judged(envelopes) {
  const input = envelopes.map((it) => `${typeof it === 'string' ? it : JSON.stringify(it)}\n`).join('');
  const run = spawnSync(process.env.ORDER_READER, [`ed25519:${people[0].x}`], { input, encoding: 'utf8' });
  if (run.status !== 0) throw new Error(run.stderr);
  return run.stdout.trim().split('\n');
}

const check = (name, good, seen) => console.log(good ? `ok jose: ${name}` : `not ok jose: ${name} ${seen}`);

const good = {
  'one signature': await signed(order()),
  'two signatures': await signed(order(), [0, 1]),
  'a terminal and arguments': await signed(order({ cmd: 'terminal.unlock', terminal: 'front-door', args: { seconds: 5 } })),
};
const one = await signed(order());
const bad = {
  'a changed payload': { ...one, payload: Buffer.from(JSON.stringify(order({ cmd: 'lockdown' }))).toString('base64url') },
  'another person alone': await signed(order(), [1]),
  'the same key twice': await signed(order(), [0, 0]),
  'another type': await signed(order(), [0], { typ: 'JWT' }),
  'a key inside': await signed(order(), [0], { jwk: { kty: 'OKP', crv: 'Ed25519', x: people[0].x } }),
  'a member twice': JSON.stringify(one).replace('{', `{"payload":"${one.payload}",`),
  'padding': JSON.stringify(one).replace(one.payload, `${one.payload}=`),
};
for (const [cases, prefix, words] of [[good, 'good ', 'is taken'], [bad, 'bad ', 'is not taken']]) {
  const answers = judged(Object.values(cases));
  Object.keys(cases).forEach((name, at) => check(`${name} ${words}`, answers[at].startsWith(prefix), answers[at]));
}
