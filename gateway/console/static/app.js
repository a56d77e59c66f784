// The frame of the console: the session, the views by the fragment of the URL, and drops.
import { h, put, ask, button, sign } from './dom.js'
import { can, call, current, endSession, listProviders, loadSession } from './api.js'
import { moment } from './format.js'
import { problemBox } from './parts.js'
import { loginView } from './login.js'
import { filesView } from './files.js'
import { enqueue, watchDrops } from './upload.js'

const views = {
  files: { label: 'Files', open: filesView },
  file: { module: './file.js' },
  providers: { label: 'Providers', module: './providers.js' },
  operations: { label: 'Operations', module: './operations.js' },
  tokens: { label: 'Tokens', module: './tokens.js', scope: 'admin' },
}

const main = document.getElementById('main')
const nav = document.getElementById('nav')
const banner = document.getElementById('banner')
const corner = document.getElementById('session')
let open = null // the view that is shown
let turn = 0

/** place reads the fragment: #/files?name=x is the view files with a query, #/files/ID a file. */
function place() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?')
  const [name = '', ...rest] = path.split('/')
  const id = decodeURIComponent(rest.join('/'))
  if (name === 'files' && id) return { name: 'file', id, query: new URLSearchParams(query) }
  return { name: Object.hasOwn(views, name) ? name : 'files', id, query: new URLSearchParams(query) }
}

async function show({ focus = true } = {}) {
  const mine = ++turn
  const { name, id, query } = place()
  open?.close?.()
  open = null
  const chosen = views[name]
  let view
  try {
    const make = chosen.open ?? (await import(chosen.module)).view
    if (mine !== turn) return
    view = make({ id, query })
  } catch (error) {
    view = { title: 'Error', node: problemBox(error) }
  }
  open = view
  document.title = `${view.title} · casgate`
  for (const link of nav.querySelectorAll('a')) {
    if (link.dataset.view === name || (name === 'file' && link.dataset.view === 'files')) link.setAttribute('aria-current', 'page')
    else link.removeAttribute('aria-current')
  }
  put(main, view.node)
  if (focus) scrollTo(0, 0)
  view.shown?.()
  if (!focus) return
  if (view.focus) view.focus()
  else main.querySelector('h1')?.focus({ preventScroll: true })
}

function frame() {
  put(nav, Object.entries(views).filter(([, v]) => v.label && (!v.scope || can(v.scope)))
    .map(([name, v]) => h('a', { href: `#/${name}`, 'data-view': name }, v.label)))
  put(corner, sessionMenu())
  put(banner)
  if (current().simulated) simulatedBanner()
}

async function simulatedBanner() {
  let names = 'Some providers'
  try {
    const simulated = (await listProviders()).filter((p) => p.simulated).map((p) => p.name)
    if (simulated.length > 0) names = simulated.join(', ')
  } catch { /* without the scope read, the banner names none */ }
  put(banner, h('aside', { class: 'banner', 'aria-label': 'Simulated providers' }, h('strong', {}, 'Simulated: '), `${names}. Copies there exist in this process only, and their ids work nowhere else.`))
}

function sessionMenu() {
  const { token, version } = current()
  if (!token) return h('span', { class: 'quiet', title: `casgate ${version}` }, 'no authentication')
  const errors = h('div')
  const leave = async () => {
    try {
      await call('DELETE', 'console/session')
      leaveSession({ detail: { message: 'You are logged out. The token stays valid.' } })
    } catch (error) {
      put(errors, problemBox(error))
    }
  }
  const revoke = async () => {
    if (!await ask({
      title: 'Revoke this token?', action: 'Revoke the token',
      text: `Programs and browsers that use the token ${token.name || token.id} stop working within 5 seconds. This can’t be undone.`,
    })) return
    try {
      await call('DELETE', `v1/tokens/${token.id}`)
      leaveSession({ detail: { message: 'The token is revoked.' } })
    } catch (error) {
      put(errors, problemBox(error))
    }
  }
  return h('details', { class: 'menu', on: { keydown: (event) => { if (event.key === 'Escape') { event.currentTarget.open = false; event.currentTarget.firstElementChild.focus() } } } },
    h('summary', {}, h('span', { class: 'clip' }, token.name || token.id)),
    h('div', { class: 'menu-body' },
      h('dl', {}, h('dt', {}, 'Token'), h('dd', {}, h('code', {}, token.id)), h('dt', {}, 'Scopes'), h('dd', {}, token.scopes.join(', ')),
        token.expires_at && [h('dt', {}, 'Expires'), h('dd', {}, moment(token.expires_at))], h('dt', {}, 'Gateway'), h('dd', {}, version)),
      h('div', { class: 'actions' }, button('Log out', leave), button('Revoke token', revoke, 'danger')),
      h('p', { class: 'quiet' }, 'Log out only ends this browser’s session. Revoke the token to end all of its sessions.'), errors))
}

function leaveSession({ detail }) {
  if (!current() && main.querySelector('.login')) return
  endSession()
  turn++
  open?.close?.()
  open = null
  put(nav)
  put(corner)
  put(banner)
  document.title = 'Log in · casgate'
  const view = loginView(detail, start)
  put(main, view.node)
  view.shown()
}

async function start() {
  try {
    await loadSession()
  } catch (error) {
    if (error.status === 401) return // the log-in is shown
    return put(main, problemBox(error), button('Try again', start))
  }
  frame()
  await show({ focus: false })
}

document.addEventListener('session-ended', (event) => leaveSession({ detail: current() ? event.detail : null }))
document.addEventListener('visibilitychange', () => { if (!document.hidden && current()) call('GET', 'console/session').catch(() => {}) })
document.addEventListener('click', (event) => {
  const menu = corner.querySelector('details[open]')
  if (menu && !menu.contains(event.target)) menu.open = false
})
document.addEventListener('keydown', (event) => {
  if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, textarea, select, dialog')) return
  const search = document.getElementById('search')
  if (search) { event.preventDefault(); search.focus() }
})
history.scrollRestoration = 'manual' // a view knows its place once its rows are there
addEventListener('hashchange', () => { if (current()) show() })
watchDrops({ allowed: () => can('write'), take: enqueue, notice: h('div', { class: 'drop', hidden: true }, h('p', {}, sign('ready'), 'Drop the files to upload them')) })
start()
