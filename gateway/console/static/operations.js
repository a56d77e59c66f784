import { h, put, button, sign } from './dom.js'
import { call } from './api.js'
import { at, bytes, took } from './format.js'
import { List } from './list.js'
import { emptyState, pageHead, problemBox, select } from './parts.js'

const kinds = ['upload', 'download', 'delete', 'sync', 'unsync', 'evict', 'reconcile', 'import', 'backfill', 'scrub', 'expire', 'chat', 'collect', 'reindex',
  'token-created', 'token-revoked', 'signing-key-created', 'signing-key-retired']
const FOLLOW = 2000

/** view lists the operations in the journal, newest first, and follows it. */
export function view({ query }) {
  const parameters = {}
  for (const name of ['kind', 'outcome', 'provider', 'digest', 'file', 'actor']) if (query.get(name)) parameters[name] = query.get(name)
  const filtered = Object.keys(parameters).length > 0
  const change = (name) => (value) => {
    const next = { ...parameters, [name]: value.trim() }
    if (!next[name]) delete next[name]
    location.hash = `#/operations?${new URLSearchParams(next)}`
  }
  let next = ''
  let newest = ''
  let timer = null
  let following = true
  const errors = h('div')
  const state = h('span', { class: 'quiet', role: 'status' })
  const list = new List({
    label: 'Operations', noun: 'operation', height: 36, narrowHeight: 76, render: row,
    empty: filtered ? emptyState('No operation matches', 'Operations are listed about a second after their end.', button('Show all operations', () => { location.hash = '#/operations' }))
      : emptyState('No operations yet', 'Each upload, download, delete and sync is listed here about a second after its end.'),
    load: async () => {
      const page = await call('GET', 'v1/operations', { query: { ...parameters, limit: 200, after: next } })
      next = page.next ?? ''
      newest ||= page.newest
      return { items: page.operations, more: next !== '' }
    },
  })

  async function follow() {
    if (!document.hidden && following && newest) {
      try {
        const fresh = []
        let after = ''
        do {
          const page = await call('GET', 'v1/operations', { query: { ...parameters, limit: 1000, following: newest, after }, signal: list.stop.signal })
          fresh.push(...page.operations)
          after = page.next ?? ''
          if (!after) newest = page.newest
        } while (after)
        list.prepend(fresh)
        put(errors)
      } catch (error) {
        if (list.stop.signal.aborted) return
        put(errors, problemBox(error))
      }
    }
    if (!list.stop.signal.aborted) timer = setTimeout(follow, FOLLOW)
  }

  const toggle = button('Pause', () => {
    following = !following
    put(toggle, following ? 'Pause' : 'Follow')
    put(state, following ? 'New ones come every 2 seconds' : 'Paused')
  })
  put(state, 'New ones come every 2 seconds')
  const input = (name, label) => h('input', { 'aria-label': label, placeholder: label, value: parameters[name] ?? '', autocomplete: 'off', spellcheck: 'false', on: { change: (event) => change(name)(event.target.value) } })
  const node = h('div', {},
    pageHead('Operations', h('div', { class: 'actions' }, state, toggle)),
    h('div', { class: 'filters' },
      select([['', 'all kinds'], ...kinds.map((k) => [k, k])], parameters.kind ?? '', change('kind'), { 'aria-label': 'Kind' }),
      select([['', 'all outcomes'], ['ok', 'ok'], ['failed', 'failed'], ['broken-off', 'broken off']], parameters.outcome ?? '', change('outcome'), { 'aria-label': 'Outcome' }),
      input('provider', 'Provider'), input('file', 'File id'), input('digest', 'Digest'), input('actor', 'Actor')),
    errors,
    h('div', { class: 'operation-row columns', 'aria-hidden': 'true' }, h('span'), h('span', {}, 'Kind'), h('span', {}, 'Of'), h('span', {}, 'Actor'), h('span', { class: 'size' }, 'Bytes'), h('span', { class: 'size' }, 'Time'), h('span', { class: 'when' }, 'Started')),
    list.node)
  return { title: 'Operations', node, shown: () => { list.show(); timer = setTimeout(follow, FOLLOW) }, close: () => { list.close(); clearTimeout(timer) } }
}

const outcomes = { ok: 'ready', failed: 'failed', 'broken-off': 'gone' }

function row(o) {
  const subject = o.file_id ? h('a', { href: `#/files/${encodeURIComponent(o.file_id)}` }, o.file_id)
    : o.digest && h('a', { href: `#/files?sha256=${o.digest.slice(7)}`, title: o.digest }, `${o.digest.slice(0, 19)}…`)
  return h('div', { class: 'row operation-row', 'data-operation': o.id },
    sign(outcomes[o.outcome] ?? 'none', o.outcome),
    h('span', { class: 'kind' }, o.kind, o.count > 1 && ` × ${o.count}`, o.error_code && [' ', h('code', { class: 'bad-text' }, o.error_code)]),
    h('span', { class: 'of clip' }, o.provider && `${o.provider} `, subject),
    h('span', { class: 'actor clip', title: o.actor }, o.actor),
    h('span', { class: 'size' }, o.bytes > 0 ? bytes(o.bytes) : ''),
    h('span', { class: 'size took' }, took(o.duration_ms)),
    h('span', { class: 'when' }, at(o.started_at, { withSeconds: true })))
}
