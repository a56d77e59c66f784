// The console is a client of the public API. All its requests pass here.

/** root is the URL of the gateway: the console may lie below a path of a proxy. */
export const root = new URL('../', document.baseURI)

/** address returns the URL of a path of the API, such as "v1/files", with a query. */
export function address(path, query = {}) {
  const url = new URL(path, root)
  for (const [name, value] of Object.entries(query)) if (value) url.searchParams.set(name, value)
  return url
}

/** Problem is an error in the words of the API. */
export class Problem extends Error {
  constructor(fields) {
    super(fields.detail || fields.title || 'The request failed.')
    Object.assign(this, fields)
  }
}

const unreachable = () => new Problem({ code: 'unreachable', detail: 'The gateway can’t be reached. The console tries again when you do.' })

/** problemOf reads the problem of an answer that is not a success. */
export function problemOf(status, text) {
  let fields = {}
  try { fields = JSON.parse(text) } catch { /* a proxy between answers in HTML */ }
  if (!fields.code) fields = { code: `status ${status}`, detail: 'This answer is not the gateway’s; a proxy between may have made it.' }
  const problem = new Problem({ ...fields, status })
  if (status === 401) document.dispatchEvent(new CustomEvent('session-ended', { detail: problem }))
  return problem
}

/** request sends a request, and returns the answer if it is a success. */
export async function request(method, path, { query, json, headers = {}, signal } = {}) {
  const options = { method, headers: { ...headers }, signal, credentials: 'same-origin', cache: 'no-store' }
  if (json !== undefined) {
    options.headers['Content-Type'] = 'application/json'
    options.body = JSON.stringify(json)
  }
  let answer
  try {
    answer = await fetch(address(path, query), options)
  } catch (error) {
    if (signal?.aborted) throw error
    throw unreachable()
  }
  if (!answer.ok) throw problemOf(answer.status, await answer.text())
  return answer
}

/** call is request for an answer of JSON. */
export async function call(method, path, options) {
  const answer = await request(method, path, options)
  return answer.status === 204 ? null : answer.json()
}

/** upload sends a body, and tells how many bytes have gone out: fetch can't. */
export function upload(method, path, { query, body, type, signal, progress }) {
  return new Promise((resolve, reject) => {
    const x = new XMLHttpRequest()
    const abort = () => x.abort()
    x.open(method, address(path, query))
    if (type) x.setRequestHeader('Content-Type', type)
    x.upload.onprogress = (event) => progress(event.loaded)
    x.onload = () => (x.status < 300 ? resolve(JSON.parse(x.responseText)) : reject(problemOf(x.status, x.responseText)))
    x.onerror = () => reject(unreachable())
    x.onabort = () => reject(signal.reason)
    x.onloadend = () => signal.removeEventListener('abort', abort)
    signal.addEventListener('abort', abort)
    signal.throwIfAborted()
    x.send(body)
  })
}

let session = null

/** logIn starts a session. */
export const logIn = (token) => call('POST', 'console/session', { json: { token } })

/** loadSession reads the session that the browser has. */
export async function loadSession() {
  session = await call('GET', 'console/session')
  return session
}

/** current returns the session as it was last read. */
export const current = () => session

/** endSession forgets the session. */
export function endSession() { session = null }

/** can reports whether the token of the session has all of these scopes. */
export function can(...scopes) {
  if (!session) return false
  const has = session.token?.scopes ?? ['admin']
  return has.includes('admin') || scopes.every((scope) => has.includes(scope))
}

let providers = null

/** listProviders returns the providers, as they were in the last seconds. */
export async function listProviders({ fresh = false } = {}) {
  if (fresh || !providers || Date.now() - providers.at > 10_000) {
    providers = { at: Date.now(), list: call('GET', 'v1/providers').then((answer) => answer.providers) }
    providers.list.catch(() => { providers = null })
  }
  return providers.list
}

/** filePath returns the path of a file. */
export const filePath = (id) => `v1/files/${encodeURIComponent(id)}`

/** blobPath returns the path of the blob with this SHA-256. */
export const blobPath = (hex) => `v1/blobs/sha256:${hex}`
