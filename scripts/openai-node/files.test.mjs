// Holds a gateway against OpenAI's own client for Node. gateway/openainode_test.go
// starts the gateway, and says by the environment where it is:
//
//   OPENAI_BASE_URL, OPENAI_API_KEY   as the client itself reads them
//   CASGATE_READER_KEY                a key that may read, and nothing else
//   CASGATE_NARROW_URL                the same files by a gateway of one upload at a time
//
// files.json, beside this file, has the ids there are, by purpose and creation.

import assert from 'node:assert/strict';
import * as buffer from 'node:buffer';
import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import test from 'node:test';

globalThis.File ??= buffer.File; // Node before 20 has it there alone

const { default: OpenAI, toFile } = await import('openai');
const client = new OpenAI();
const imported = JSON.parse(await readFile(new URL('files.json', import.meta.url)));

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

// watched returns a fetch for a client, and tells of each answer of the gateway. (The
// client also fetches data: URLs, to find out what the fetch can do.)
const watched = (tell) => async (url, init) => {
  const response = await fetch(url, init);
  if (String(url).startsWith('http')) await tell(response.status);
  return response;
};

// refused runs what has to fail, and checks with what.
async function refused(promise, kind, status, code, param) {
  const error = await promise.then(() => assert.fail(`no ${kind.name}`), (e) => e);
  assert.ok(error instanceof kind, `${error}`);
  assert.equal(error.status, status);
  assert.equal(error.code, code);
  assert.equal(error.param, param);
  assert.ok(error.type && error.message && error.requestID);
  return error;
}

test('an SDK reads the error of a route that is not there', async () => {
  const error = await refused(client.fineTuning.jobs.list(), OpenAI.NotFoundError, 404, 'not_found', null);
  assert.match(error.message, /There is nothing at this path/);
  const lost = client.withOptions({ baseURL: process.env.OPENAI_BASE_URL.replace(/\/v1$/, '') });
  await refused(lost.fineTuning.jobs.list(), OpenAI.NotFoundError, 404, 'not_found', null);
  await refused(client.withOptions({ apiKey: 'cas_wrong_key' }).get('/blobs'), OpenAI.AuthenticationError, 401, 'unauthenticated', null);
});

for (const order of ['file first', 'file last']) {
  test(`create, retrieve, content, delete, with the ${order}`, async () => {
    const bytes = randomBytes(300_000);
    const file = await toFile(bytes, 'Größe, "1".jsonl', { type: 'application/jsonl' });
    const said = {
      purpose: 'user_data',
      expires_after: { anchor: 'created_at', seconds: 3600 },
      tags: ['a', 'b'],
      metadata: { order, 'another key': 'ü' },
      context: 'talk',
    };
    const made = await client.files.create(order === 'file first' ? { file, ...said } : { ...said, file });
    assert.equal(made.object, 'file');
    assert.equal(made.filename, 'Größe, "1".jsonl');
    assert.equal(made.bytes, 300_000);
    assert.equal(made.purpose, 'user_data');
    assert.equal(made.status, 'processed');
    assert.ok(Math.abs(made.expires_at - made.created_at - 3600) < 10);
    assert.ok(Math.abs(made.created_at - Date.now() / 1000) < 300);
    assert.equal(made.sha256, sha256(bytes));
    assert.equal(made.media_type, 'application/jsonl');
    assert.deepEqual([...made.tags].sort(), ['a', 'b']);
    assert.deepEqual(made.metadata, { order, 'another key': 'ü' });
    assert.equal(made.context, 'talk');

    assert.deepEqual(await client.files.retrieve(made.id), made);
    assert.deepEqual(await client.files.waitForProcessing(made.id), made);
    const content = await client.files.content(made.id);
    assert.equal(content.headers.get('content-type'), 'application/jsonl');
    assert.deepEqual(Buffer.from(await content.arrayBuffer()), bytes);

    assert.deepEqual(await client.files.delete(made.id), { id: made.id, object: 'file', deleted: true });
    await refused(client.files.retrieve(made.id), OpenAI.NotFoundError, 404, 'file_not_found', 'id');
    await refused(client.files.content(made.id), OpenAI.NotFoundError, 404, 'file_not_found', 'id');
    await refused(client.files.delete(made.id), OpenAI.NotFoundError, 404, 'file_not_found', 'id');
    await client.files.list({ after: made.id }); // goes on after a file that is gone
  });
}

test('error classes', async () => {
  const file = () => toFile(Buffer.from('error classes'), 'x.txt');
  const made = await client.files.create({ file: await file(), purpose: 'vision' });
  await refused(client.files.create({ file: await file(), purpose: 'dance' }), OpenAI.BadRequestError, 400, 'invalid_request', 'purpose');
  await refused(client.files.create({ file: await file() }), OpenAI.BadRequestError, 400, 'invalid_request', 'purpose');
  await refused(client.files.create({ purpose: 'vision', file: 'text' }), OpenAI.BadRequestError, 400, 'invalid_request', 'file');
  const large = { file: await file(), purpose: 'vision', metadata: 'm'.repeat(10 << 20) };
  await refused(client.files.create(large), OpenAI.BadRequestError, 400, 'invalid_request', 'metadata');
  await refused(client.files.list({ limit: 0 }), OpenAI.BadRequestError, 400, 'invalid_request', 'limit');
  await refused(client.files.list({ limit: 1e9 }), OpenAI.BadRequestError, 400, 'invalid_request', 'limit');

  const stranger = new OpenAI({ apiKey: 'cas_wrong_key' });
  await refused(stranger.files.list(), OpenAI.AuthenticationError, 401, 'unauthenticated', null);
  const reader = new OpenAI({ apiKey: process.env.CASGATE_READER_KEY });
  await refused(reader.files.delete(made.id), OpenAI.PermissionDeniedError, 403, 'forbidden', null);

  const attempts = [];
  const counting = new OpenAI({ fetch: watched((status) => attempts.push(status)) });
  const again = { file: await file(), purpose: 'vision', allow_duplicates: false };
  const conflict = await refused(counting.files.create(again), OpenAI.ConflictError, 409, 'duplicate_file', null);
  assert.equal(conflict.error.file.id, made.id);
  assert.deepEqual(attempts, [409], 'it was tried again in vain');
  await client.files.delete(made.id);
});

// One page follows the other, without loss or loop.
const all = [...imported.evals, ...imported.batch];
for (const [limit, purpose, want] of [
  [1, 'evals', imported.evals],
  [7, undefined, all],
  [100, undefined, all],
  [undefined, undefined, all],
]) {
  for (const order of ['asc', 'desc']) {
    test(`pages of ${limit ?? 'the usual length'}, ${order}`, async () => {
      const known = new Set(want);
      const got = [];
      for await (const file of client.files.list({ limit, order, purpose })) {
        if (known.has(file.id)) got.push(file.id); // other tests make files meanwhile
        assert.ok(got.length <= want.length, 'it goes round in a loop');
      }
      if (order === 'desc') got.reverse();
      assert.equal(got.length, want.length);
      assert.equal(new Set(got).size, want.length);
      if (purpose) assert.deepEqual(got, want);
    });
  }
}

test('a large file, as a stream there and back', async () => {
  const size = 100 << 20;
  const chunk = randomBytes(1 << 20);
  const there = createHash('sha256');
  async function* content() {
    for (let sent = 0; sent < size; sent += chunk.length) {
      chunk.writeUInt32LE(sent);
      const piece = Buffer.from(chunk);
      there.update(piece);
      yield piece;
    }
  }
  const { toStreamingFile } = await import('openai');
  const made = await client.files.create({ file: toStreamingFile(content(), 'large.bin'), purpose: 'user_data' });
  const sum = there.digest('hex');
  assert.equal(made.bytes, size);
  assert.equal(made.sha256, sum);
  const back = createHash('sha256');
  for await (const piece of (await client.files.content(made.id)).body) back.update(piece);
  assert.equal(back.digest('hex'), sum);
  await client.files.delete(made.id);
});

test('what the gateway can not do for the moment is tried again', async () => {
  const url = new URL(`${process.env.CASGATE_NARROW_URL}/v1/files`);
  const head = '--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n';
  const occupant = http.request(url, {
    method: 'POST',
    headers: { authorization: `Bearer ${client.apiKey}`, 'content-type': 'multipart/form-data; boundary=b', expect: '100-continue' },
  });
  const done = new Promise((resolve, reject) => {
    occupant.on('response', (response) => resolve(response.resume().statusCode));
    occupant.on('error', reject);
  });
  // The gateway asks for the body once the upload has its place.
  await new Promise((resolve) => occupant.on('continue', resolve).flushHeaders());
  occupant.write(head);

  const statuses = [];
  const patient = new OpenAI({
    baseURL: `${process.env.CASGATE_NARROW_URL}/v1`,
    fetch: watched(async (status) => {
      if (statuses.push(status) > 1) return;
      occupant.end('some text\r\n--b--\r\n');
      assert.equal(await done, 200);
    }),
  });
  const made = await patient.files.create({ file: await toFile(Buffer.from('tried again'), 'x.txt'), purpose: 'batch' });
  assert.equal(made.bytes, 11);
  assert.deepEqual(statuses, [503, 200]);
});
