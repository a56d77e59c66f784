// Chats through a gateway with OpenAI's own client for Node and with the Vercel AI SDK.
// gateway/chatnode_test.go starts the gateway with simulated providers, whose answers name
// the digests of the files that the model got. It says by the environment where it is:
//
//   OPENAI_BASE_URL, OPENAI_API_KEY   as the client itself reads them

import assert from 'node:assert/strict';
import * as buffer from 'node:buffer';
import { createHash, randomBytes } from 'node:crypto';
import test from 'node:test';

globalThis.File ??= buffer.File; // Node before 20 has it there alone

const { default: OpenAI, toFile } = await import('openai');
const { generateText, jsonSchema, stepCountIs, streamText, tool } = await import('ai');
const { createOpenAI } = await import('@ai-sdk/openai');
const { createOpenAICompatible } = await import('@ai-sdk/openai-compatible');

const baseURL = process.env.OPENAI_BASE_URL;
const apiKey = process.env.OPENAI_API_KEY;
const client = new OpenAI();

const digest = (bytes) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const bytes = (head, size) => Buffer.concat([Buffer.from(head, 'latin1'), randomBytes(size)]);
const pdf = bytes('%PDF-1.7\n\0\xff', 3000);
const picture = bytes('\x89PNG\r\n\x1a\n', 100_000);
const film = bytes('\0\0\0\x18ftypmp42', 2000);

const upload = async (content, name) => {
  const file = await client.files.create({ file: await toFile(content, name), purpose: 'user_data' });
  return file.id;
};
const pdfID = await upload(pdf, 'report.pdf');
const filmID = await upload(film, 'film.mp4');
const pictureID = await upload(picture, 'photo.png');

const hashURL = (content) => `${baseURL}/blobs/${digest(content)}`;
const dataURL = `data:image/png;base64,${picture.toString('base64')}`;
const question = { type: 'text', text: 'what is it?' };
const filePart = (id) => ({ type: 'file', file: { file_id: id } });

function seen(text, ...contents) {
  assert.match(text, /SIMULATED/);
  for (const content of contents) assert.ok(text.includes(digest(content)), `no ${digest(content)} in ${text}`);
}

// answer returns the message of an answer, streamed or not.
async function answer(params, stream) {
  if (!stream) return (await client.chat.completions.create(params)).choices[0].message;
  const message = { role: 'assistant', content: '' };
  for await (const chunk of await client.chat.completions.create({ ...params, stream: true })) {
    const delta = chunk.choices[0]?.delta ?? {};
    message.content += delta.content ?? '';
    if (delta.tool_calls) message.tool_calls = delta.tool_calls;
  }
  return message;
}

for (const model of ['kimi/kimi-k2.6', 'glm/glm-4.6v']) {
  for (const stream of [false, true]) {
    const ask = async (...content) => (await answer({ model, messages: [{ role: 'user', content }] }, stream)).content;

    test(`OpenAI's client, ${model}, stream ${stream}`, async () => {
      seen(await ask(filePart(pdfID), question), pdf);
      seen(await ask(question, { type: 'image_url', image_url: { url: hashURL(picture) } }), picture);
      seen(await ask({ type: 'image_url', image_url: { url: dataURL, detail: 'high' } }, question), picture);
      seen(await ask({ type: 'video_url', video_url: { url: hashURL(film) } }, question), film);
      seen(await ask(filePart(filmID), filePart(pictureID), question), film, picture);
    });

    test(`OpenAI's client, ${model}, stream ${stream}: a file in the fifth turn`, async () => {
      const tools = [{ type: 'function', function: { name: 'look', parameters: { type: 'object', properties: {} } } }];
      const messages = [];
      for (const content of ['hello', 'call the tool', 'call the tool', 'and now?', [filePart(pdfID), filePart(pictureID), question]]) {
        messages.push({ role: 'user', content });
        let message = await answer({ model, messages, tools }, stream);
        messages.push(message);
        if (message.tool_calls) {
          messages.push({ role: 'tool', tool_call_id: message.tool_calls[0].id, content: 'seen' });
          message = await answer({ model, messages, tools }, stream);
          messages.push(message);
        }
      }
      assert.equal(messages.filter((m) => m.role === 'tool').length, 2);
      seen(messages.at(-1).content, pdf, picture);
    });
  }

  test(`Vercel AI SDK, ${model}`, async () => {
    const openai = createOpenAI({ baseURL, apiKey }).chat(model);
    const compatible = createOpenAICompatible({ name: 'casgate', baseURL, apiKey, supportedUrls: () => ({ 'image/*': [/^https?:/] }) }).chatModel(model);
    const text = { type: 'text', text: 'what is it?' };
    const withPicture = [{ role: 'user', content: [text, { type: 'file', mediaType: 'image/png', data: picture }] }];
    for (const sdk of [openai, compatible]) {
      seen((await generateText({ model: sdk, messages: withPicture })).text, picture);
      seen(await streamText({ model: sdk, messages: withPicture }).text, picture);
      const byURL = [{ role: 'user', content: [text, { type: 'file', mediaType: 'image/png', data: new URL(hashURL(picture)) }] }];
      seen((await generateText({ model: sdk, messages: byURL })).text, picture);
    }
    // A PDF by the id of a file, and inline.
    const byID = [{ role: 'user', content: [text, { type: 'file', mediaType: 'application/pdf', data: pdfID }] }];
    seen((await generateText({ model: openai, messages: byID })).text, pdf);
    const withPDF = [{ role: 'user', content: [text, { type: 'file', mediaType: 'application/pdf', filename: 'report.pdf', data: pdf }] }];
    for (const sdk of [openai, compatible]) seen((await generateText({ model: sdk, messages: withPDF })).text, pdf);
    // A tool that the SDK runs by itself, then a file.
    let looked = 0;
    const look = tool({ inputSchema: jsonSchema({ type: 'object', properties: {} }), execute: async () => { looked++; return 'seen'; } });
    const first = await generateText({ model: openai, tools: { look }, stopWhen: stepCountIs(3), messages: [{ role: 'user', content: 'call the tool' }] });
    assert.equal(looked, 1);
    const messages = [{ role: 'user', content: 'call the tool' }, ...first.response.messages, ...withPicture];
    seen((await generateText({ model: openai, tools: { look }, messages })).text, picture);
  });
}

test('models and errors', async () => {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert.ok(ids.includes('kimi/kimi-k2.6') && ids.includes('glm/glm-4.6v'), `${ids}`);
  assert.equal((await client.models.retrieve('kimi/kimi-k2.6')).id, 'kimi/kimi-k2.6');
  const refused = (params) => client.chat.completions.create(params).then(() => assert.fail('no error'), (e) => e);
  const unknown = await refused({ model: 'absent/model', messages: [{ role: 'user', content: 'x' }] });
  assert.ok(unknown instanceof OpenAI.NotFoundError);
  assert.equal(unknown.code, 'model_not_found');
  const absent = await refused({ model: 'kimi/kimi-k2.6', messages: [{ role: 'user', content: [filePart('file-absent')] }] });
  assert.equal(absent.code, 'file_not_found');
  assert.equal(absent.param, 'messages[0].content[0].file.file_id');
});
