import { h } from './dom.js'
import { address, blobPath, request } from './api.js'
import { bytes } from './format.js'
import { problemBox } from './parts.js'

const TEXT = 256 * 1024

const isImage = (type) => /^image\/(png|jpeg|gif|webp|avif|bmp|svg\+xml|x-icon)$/.test(type)
const isText = (type) => /^text\//.test(type) || /^application\/(json|xml|xhtml\+xml|javascript|yaml|toml|x-ndjson|.*\+(json|xml))$/.test(type)

/**
 * preview shows the bytes of a file, and runs none of them: pictures as pictures, PDF in
 * the browser's own viewer, all other text as its source.
 */
export function preview(file, signal) {
  const type = file.media_type.split(';')[0]
  const where = h('div', { class: 'preview' })
  if (!file.sha256) return fillWith(where, 'The bytes of this imported file have not been taken in yet. Download it to take them in.')
  if (file.status === 'error') return fillWith(where, file.status_details)
  if (file.bytes === 0) return fillWith(where, 'This file is empty.')
  const source = address(blobPath(file.sha256))
  if (isImage(type)) {
    const image = h('img', { alt: `Preview of ${file.filename}`, src: source.href, on: { error: () => fillWith(where, 'The browser can’t show this picture.') } })
    where.append(image)
    return where
  }
  if (type === 'application/pdf') {
    where.append(h('iframe', { src: source.href, title: `Preview of ${file.filename}` }))
    return where
  }
  if (isText(type)) {
    showText(where, blobPath(file.sha256), { size: file.bytes, signal })
    return where
  }
  return fillWith(where, `There is no preview of ${type}.`)
}

function fillWith(where, text) {
  where.replaceChildren(h('p', { class: 'quiet' }, text))
  return where
}

/** showText fetches the start of a text, and shows it as text. */
export async function showText(where, path, { size, signal }) {
  fillWith(where, 'Loading…')
  try {
    const answer = await request('GET', path, { headers: { Range: `bytes=0-${TEXT - 1}` }, signal })
    const text = await answer.text()
    const whole = size ?? Number(answer.headers.get('Content-Range')?.split('/')[1] ?? 0)
    where.replaceChildren(h('pre', { tabindex: '0', role: 'region', 'aria-label': 'Text of the file' }, text))
    if (whole > TEXT) where.append(h('p', { class: 'quiet' }, `The first ${bytes(TEXT)} of ${bytes(whole)}.`))
  } catch (error) {
    if (!signal?.aborted) where.replaceChildren(problemBox(error))
  }
}
