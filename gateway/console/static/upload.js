// Uploads: a worker hashes each file, and only bytes that the gateway lacks are sent.
import { h, put, button, sign } from './dom.js'
import { blobPath, call, can, upload, Problem } from './api.js'
import { bytes, plural } from './format.js'

const HASHED = 256 * 1024 * 1024 // WebCrypto needs a file whole in memory
const AT_ONCE = 3

const tray = document.getElementById('tray')
const uploads = []
const listeners = new Set()
let worker = null
let nextHash = 0
const hashes = new Map() // promises of the worker, by id

/** onUploaded calls the listener with each new file, until the returned function is called. */
export function onUploaded(listener) {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

/** canHash reports whether the browser can hash the file. */
const canHash = (file) => isSecureContext && file.size <= HASHED

/** hashOf resolves to the SHA-256 of a file, in hex. */
export function hashOf(file) {
  if (!isSecureContext) return Promise.reject(new Error('A browser hashes files only on HTTPS or localhost.'))
  if (file.size > HASHED) return Promise.reject(new Error('This file has more than 256 MiB. A browser can’t hash it; `sha256sum` can.'))
  worker ??= startWorker()
  const id = ++nextHash
  return new Promise((resolve, reject) => {
    hashes.set(id, { resolve, reject })
    worker.postMessage({ id, file })
  })
}

function startWorker() {
  const started = new Worker(new URL('hash-worker.js', import.meta.url))
  started.onmessage = ({ data }) => {
    const { resolve, reject } = hashes.get(data.id)
    hashes.delete(data.id)
    if (data.hex) resolve(data.hex)
    else reject(new Error(`The browser can’t read this file: ${data.error}`))
  }
  started.onerror = () => {
    for (const { reject } of hashes.values()) reject(new Error('The browser can’t start the worker that hashes files.'))
    hashes.clear()
    worker = null
  }
  return started
}

/** chooseFiles opens the browser's choice of files. */
export function chooseFiles(take = enqueue, { multiple = true } = {}) {
  const input = h('input', { type: 'file', multiple, class: 'offscreen', 'aria-label': 'Files', on: { change: () => { take([...input.files]); input.remove() }, cancel: () => input.remove() } })
  document.body.append(input)
  input.click()
}

/** enqueue uploads files, three at a time. */
export function enqueue(files) {
  for (const file of files) uploads.push({ file, state: 'waiting', sent: 0, abort: new AbortController() })
  pump()
  render()
}

function pump() {
  for (const u of uploads) {
    if (uploads.filter((other) => other.running).length >= AT_ONCE) return
    if (u.state === 'waiting') run(u)
  }
}

async function run(u) {
  u.running = true
  try {
    const created = await send(u)
    u.state = 'done'
    u.id = created.id
    for (const listener of listeners) listener(created)
  } catch (error) {
    u.state = u.abort.signal.aborted ? 'cancelled' : 'failed'
    u.error = error
  }
  u.running = false
  pump()
  render()
}

async function send(u) {
  if (!canHash(u.file) || !can('read')) return sendForm(u)
  const { signal } = u.abort
  step(u, 'hashing')
  const hex = await hashOf(u.file)
  signal.throwIfAborted()
  step(u, 'checking')
  const { missing } = await call('POST', 'v1/blobs/find-missing', { json: { digests: [`sha256:${hex}`] }, signal })
  if (missing.length > 0) {
    step(u, 'sending')
    await upload('PUT', blobPath(hex), { query: { name: u.file.name }, body: u.file, type: u.file.type || 'application/octet-stream', signal, progress: (n) => sending(u, n) })
    u.sent = u.file.size
  }
  step(u, 'storing')
  try {
    return await call('POST', 'v1/files', { json: { digest: `sha256:${hex}`, filename: u.file.name, purpose: 'user_data', ...(u.file.type && { media_type: u.file.type }) }, signal })
  } catch (error) {
    if (error.code !== 'blob_not_found') throw error
    return sendForm(u) // the blob was deleted meanwhile
  }
}

async function sendForm(u) {
  step(u, 'sending')
  const form = new FormData()
  form.append('purpose', 'user_data')
  form.append('file', u.file, u.file.name)
  const created = await upload('POST', 'v1/files', { body: form, signal: u.abort.signal, progress: (n) => sending(u, n) })
  u.sent = u.file.size
  return created
}

function step(u, state) {
  u.state = state
  render()
}

function sending(u, n) {
  u.sent = Math.min(n, u.file.size)
  updateLine(u)
}

const stateText = (u) => ({
  waiting: 'waits', hashing: 'hashing', checking: 'asking for it', storing: 'storing the name', cancelled: 'cancelled',
  sending: `sending ${bytes(u.sent)} of ${bytes(u.file.size)}`,
  done: u.sent > 0 ? `${bytes(u.sent)} sent` : 'known bytes, nothing sent',
  failed: u.error?.message,
})[u.state]

const isOver = (u) => ['done', 'failed', 'cancelled'].includes(u.state)

function line(u) {
  const kind = { done: 'ready', failed: 'failed', cancelled: 'none' }[u.state] ?? 'working'
  u.progress = h('progress', { max: 1, 'aria-label': `Upload of ${u.file.name}` })
  u.text = h('span', { class: 'quiet' })
  u.line = h('li', { 'data-state': u.state, 'data-sent': u.sent }, sign(kind),
    h('div', { class: 'what' },
      u.id ? h('a', { class: 'clip', href: `#/files/${encodeURIComponent(u.id)}` }, u.file.name) : h('span', { class: 'clip' }, h('bdi', {}, u.file.name)),
      u.text, u.state === 'failed' && u.error instanceof Problem && h('code', {}, u.error.code),
      !isOver(u) && u.progress),
    !isOver(u) && button('Cancel', () => { u.abort.abort(); if (u.state === 'waiting') { u.state = 'cancelled'; render() } }, 'small'),
    ['failed', 'cancelled'].includes(u.state) && button('Try again', () => retry(u), 'small'))
  updateLine(u)
  return u.line
}

function updateLine(u) {
  put(u.text, stateText(u))
  if (u.state === 'sending') u.progress.value = u.file.size ? u.sent / u.file.size : 1
  u.line.dataset.sent = u.sent
}

function retry(u) {
  Object.assign(u, { state: 'waiting', sent: 0, abort: new AbortController(), error: null })
  pump()
  render()
}

let drawn = false

function render() {
  if (drawn) return
  drawn = true
  queueMicrotask(() => { drawn = false; draw() })
}

function draw() {
  if (uploads.length === 0) return put(tray)
  const over = uploads.filter(isOver).length
  const failed = uploads.filter((u) => u.state === 'failed').length
  const summary = over < uploads.length ? `${over} of ${plural(uploads.length, 'upload')} done` : plural(uploads.length, 'upload') + ' done'
  put(tray, h('section', { class: 'tray', 'aria-label': 'Uploads' },
    h('div', { class: 'tray-head' }, h('p', { role: 'status' }, failed > 0 ? `${summary}, ${failed} failed` : summary),
      button(over < uploads.length ? 'Clear finished' : 'Close', () => { uploads.splice(0, uploads.length, ...uploads.filter((u) => !isOver(u))); render() }, 'small')),
    h('ol', {}, uploads.map(line))))
}

/** watchDrops takes files that are dropped anywhere on the page. */
export function watchDrops({ allowed, take, notice }) {
  document.body.append(notice)
  let depth = 0
  const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes('Files')
  const over = (change) => (event) => {
    if (!hasFiles(event)) return
    event.preventDefault()
    depth = Math.max(0, depth + change)
    notice.hidden = depth === 0 || !allowed()
  }
  addEventListener('dragenter', over(1))
  addEventListener('dragleave', over(-1))
  addEventListener('dragover', over(0))
  addEventListener('drop', (event) => {
    if (!hasFiles(event)) return
    event.preventDefault()
    depth = 0
    notice.hidden = true
    if (!allowed()) return
    // A folder comes as a file that can't be read.
    const items = [...event.dataTransfer.items].filter((item) => item.kind === 'file')
    const files = items.filter((item) => !item.webkitGetAsEntry?.()?.isDirectory).map((item) => item.getAsFile())
    take(files.filter(Boolean))
  })
}

addEventListener('beforeunload', (event) => { if (uploads.some((u) => !isOver(u))) event.preventDefault() })
