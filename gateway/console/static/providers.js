import { h, put, ask, button, sign } from './dom.js'
import { call, can, listProviders } from './api.js'
import { at, bytes, count, plural } from './format.js'
import { emptyState, pageHead, problemBox, working } from './parts.js'

/** view shows the providers: whether they take requests, and how full their accounts are. */
export function view() {
  const node = h('div', {}, pageHead('Providers'), h('p', { class: 'quiet' }, 'Loading…'))
  const errors = h('div')
  const load = async () => {
    try {
      draw(await listProviders({ fresh: true }))
    } catch (error) {
      put(node, pageHead('Providers'), problemBox(error))
    }
  }
  const draw = (all) => {
    const configured = all.filter((p) => p.configured)
    const others = all.filter((p) => !p.configured)
    put(node, pageHead('Providers', h('div', { class: 'actions' }, button('Refresh', working(errors, load)))), errors,
      configured.length > 0 ? h('div', { class: 'cards' }, configured.map(card))
        : emptyState('No provider is configured', 'Set the key of one, and start the gateway again. The list below says how.'),
      others.length > 0 && h('section', {}, h('h2', {}, 'Not configured'),
        h('dl', { class: 'facts' }, others.map((p) => [h('dt', {}, p.name), h('dd', { class: 'quiet' }, p.advice)]))))
  }
  load()
  return { title: 'Providers', node }
}

function stateOf(p) {
  if (p.breaker === 'open') return ['failed', 'breaker open: it takes no requests for a while']
  if (p.breaker === 'half-open') return ['working', 'being tried again after failures']
  return p.available ? ['ready', 'takes requests'] : ['failed', 'takes no requests']
}

function card(p) {
  const [kind, text] = stateOf(p)
  const result = h('div', { class: 'result' })
  return h('article', { class: 'card', 'data-provider': p.name, 'aria-label': p.name },
    h('h2', {}, p.name, p.simulated && [' ', h('span', { class: 'tag' }, 'simulated')]),
    h('p', {}, sign(kind), ' ', text),
    h('p', { class: 'quiet' }, p.host, p.account && [' · account ', h('code', { class: 'wrap' }, p.account)], p.last_check && [' · checked ', at(p.last_check, { withSeconds: true })]),
    p.last_error && h('div', { class: 'copy-error' }, h('p', { class: 'wrap' }, p.last_error.message || p.last_error.kind), p.last_error.hint && h('p', { class: 'quiet' }, p.last_error.hint)),
    bar('Files', p.files, p.max_files, count), bar('Bytes', p.bytes, p.max_bytes, bytes),
    p.purposes?.length > 0 && h('details', {}, h('summary', {}, plural(p.purposes.length, 'purpose')),
      p.purposes.map((purpose) => h('div', { class: 'purpose' }, h('h3', {}, purpose.name),
        bar('Files', purpose.files, purpose.max_files, count), bar('Bytes', purpose.bytes, purpose.max_bytes, bytes),
        purpose.max_size && h('p', { class: 'quiet' }, `at most ${bytes(purpose.max_size)} a file`)))),
    can('sync') && h('div', { class: 'actions' }, button('Reconcile: dry run', reconcile(p.name, result, false), 'small')), result)
}

/** bar shows how much of a quota is used. Without a quota it is a number. */
function bar(name, used, most, format) {
  const text = most ? `${format(used)} of ${format(most)}` : format(used)
  const line = h('div', { class: 'bar-line' }, h('span', {}, name), h('span', {}, text))
  if (!most) return line
  const share = Math.min(1, used / most)
  const fill = h('div', { class: share > 0.9 ? 'fill full' : 'fill' })
  fill.style.width = `${100 * share}%`
  return [line, h('div', { class: 'bar', role: 'meter', 'aria-label': `${name} used`, 'aria-valuemin': 0, 'aria-valuemax': most, 'aria-valuenow': Math.min(used, most), 'aria-valuetext': text }, fill)]
}

function reconcile(provider, where, apply) {
  return working(where, async () => {
    if (apply && !await ask({
      title: `Repair the differences at ${provider}?`, action: 'Repair them',
      text: 'Files there that this gateway left and no copy refers to are deleted, and copies whose file is gone are marked. Files of other programs are never changed.',
    })) return
    const r = await call('POST', `v1/providers/${encodeURIComponent(provider)}/reconcile`, { query: { apply: apply && 'true' } })
    const differences = [
      [r.unknown.length, 'file there that no copy refers to', 'files there that no copy refers to'], [r.gone.length, 'copy whose file is gone', 'copies whose file is gone'],
      [r.deletes.length, 'delete that is done already', 'deletes that are done already'], [r.misplaced.length, 'copy under another key of this account', 'copies under another key of this account'],
    ].filter(([n]) => n > 0)
    put(where,
      h('p', { role: 'status' }, sign(differences.length === 0 || apply ? 'ready' : 'gone'), ` ${plural(r.remote, 'file')} there and ${plural(r.rows, 'copy', 'copies')} here compared: `,
        differences.length === 0 ? 'no differences.' : apply ? 'the differences are repaired.' : 'they differ.'),
      differences.length > 0 && h('ul', { class: 'plain-list' }, differences.map(([n, one, many]) => h('li', {}, plural(n, one, many)))),
      r.unknown.length > 0 && h('p', { class: 'quiet wrap' }, r.unknown.slice(0, 5).map((file) => file.name || file.id).join(', ')),
      (r.foreign > 0 || r.others.files > 0) && h('p', { class: 'quiet' }, `${plural(r.foreign + r.others.files, 'file')} of other programs or installations, which stay.`),
      r.failures?.map((text) => h('p', { class: 'copy-error' }, text)),
      differences.length > 0 && !apply && can('sync', 'delete') && button('Repair them', reconcile(provider, where, true), 'danger'))
  })
}
