// zkteco-js, a client that is not ours, against the simulated terminal. It knows 40-byte records over TCP only.
const { spawn } = require('node:child_process');
const readline = require('node:readline');
const Zkteco = require('zkteco-js');

// The library speaks to the console of its own accord; standard output is for results.
console.log = console.error;

const check = (name, good, seen = '') =>
  process.stdout.write(good ? `ok zkteco-js: ${name}\n` : `not ok zkteco-js: ${name} ${JSON.stringify(seen)}\n`);

async function terminal(...options) {
  const child = spawn(process.env.ZK_TERMINAL, options, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const port = Number((await lines.next()).value.split(':').pop());
  const say = async (line) => {
    child.stdin.write(line + '\n');
    return (await lines.next()).value;
  };
  return { port, say, end: () => child.stdin.end() };
}

/** The log, decoded here. */
function decode(hex) {
  const raw = Buffer.from(hex, 'hex');
  const records = [];
  for (let at = 0; at < raw.length; at += 40) {
    let rest = raw.readUInt32LE(at + 27);
    const take = (unit) => {
      const part = rest % unit;
      rest = Math.floor(rest / unit);
      return part;
    };
    const [second, minute, hour, day, month] = [60, 60, 24, 31, 12].map(take);
    records.push({
      user_id: raw.subarray(at + 2, at + 26).toString().replace(/\0.*/, ''),
      record_time: new Date(2000 + rest, month, day + 1, hour, minute, second).toString(),
      type: raw[at + 26],
      state: raw[at + 31],
    });
  }
  return records;
}

async function read() {
  // It takes one packet from each piece that arrives, so packets must not arrive together.
  const it = await terminal('--records', '300', '--users', '20', '--paced', '30');
  const client = new Zkteco('127.0.0.1', it.port, 5000, 5200);
  await client.createSocket();
  const off = Math.abs((await client.getTime()) - new Date());
  check('time', off < 5000, off);
  check('serial number', (await client.getSerialNumber()) === 'CEXA204060001');
  const { userCounts, logCounts, logCapacity } = await client.getInfo();
  check('sizes', userCounts === 20 && logCounts === 300 && logCapacity === 100000, [userCounts, logCounts, logCapacity]);
  // Last, since it takes the end of a bulk answer for the answer to its next question.
  const users = (await client.getUsers()).data;
  const named = users.every((user, at) => user.userId === String(1000 + at) && user.name === `User ${at + 1}`);
  check('users', users.length === 20 && named, users.slice(0, 2));
  const seen = (await client.getAttendances()).data.map(({ user_id, record_time, type, state }) => ({
    user_id, record_time, type, state,
  }));
  const log = decode(await it.say('log'));
  check('300 records', log.length === 300 && JSON.stringify(seen) === JSON.stringify(log), seen.slice(0, 2));
  await client.disconnect();
  let said;
  for (let tries = 0; tries < 100 && !/1001\]$/.test(said); tries++) {
    await new Promise((later) => setTimeout(later, 20));
    said = await it.say('journal');
  }
  check('left in order', /1001\]$/.test(said), said);
  it.end();
}

async function live() {
  const it = await terminal('--users', '20', '--form', '40');
  const client = new Zkteco('127.0.0.1', it.port, 5000, 5200);
  await client.createSocket();
  const event = new Promise((resolve) => client.getRealTimeLogs(resolve));
  // Its request has no answer that it waits for: ask until the terminal has it.
  let said;
  do said = await it.say('journal'); while (!said.includes('500'));
  await it.say('punch 1003');
  const { userId, attTime } = await event;
  check('a live punch', userId === '1003' && Math.abs(attTime - new Date()) < 5000, [userId, attTime]);
  await client.disconnect();
  it.end();
}

setTimeout(() => process.exit(3), 100_000).unref();
read().then(live).then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1);
});
