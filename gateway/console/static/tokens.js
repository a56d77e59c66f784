import { h, put, ask, button, copyButton, sign } from './dom.js'
import { call, can, current } from './api.js'
import { at, moment } from './format.js'
import { emptyState, field, pageHead, problemBox, select, working } from './parts.js'

const scopes = {
  read: 'see and download everything', write: 'upload', delete: 'delete files and blobs', sync: 'make copies at providers', chat: 'send requests to models', admin: 'all of it, and tokens',
}
const lives = [['', 'never'], ['86400', 'in a day'], ['2592000', 'in 30 days'], ['7776000', 'in 90 days'], ['31536000', 'in a year']]

/** view lists tokens, and makes and revokes them. */
export function view() {
  const made = h('div')
  const errors = h('div')
  const body = h('div', {}, h('p', { class: 'quiet' }, 'Loading…'))
  const more = h('div', { class: 'actions' })
  const node = h('div', {}, pageHead('Tokens'), form(), made, errors, body, more)
  let tokens = []

  async function load(after = '') {
    try {
      const page = await call('GET', 'v1/tokens', { query: { limit: 100, after } })
      tokens = after ? [...tokens, ...page.tokens] : page.tokens
      draw()
      put(more, page.next && button('Show more', working(errors, () => load(page.next))))
    } catch (error) {
      if (error.status === 404) put(node, pageHead('Tokens'), emptyState('Tokens are not managed here', 'This gateway’s operator has turned it off (CAS_TOKEN_API=off). The command cas token makes, lists and revokes tokens.'))
      else put(body, problemBox(error))
    }
  }

  function form() {
    const name = h('input', { name: 'name', required: true, maxlength: 255, autocomplete: 'off', placeholder: 'Such as its program or person' })
    let life = '7776000'
    const problems = h('div')
    const boxes = Object.entries(scopes).map(([scope, text]) => h('label', { class: 'check' },
      h('input', { type: 'checkbox', value: scope, name: 'scope', checked: scope === 'read', disabled: !can(scope) }), h('span', {}, h('strong', {}, scope), ' ', h('span', { class: 'quiet' }, text))))
    const create = working(problems, async (event) => {
      event.preventDefault()
      const chosen = boxes.map((b) => b.querySelector('input')).filter((b) => b.checked).map((b) => b.value)
      const token = await call('POST', 'v1/tokens', { json: { name: name.value, scopes: chosen, ...(life && { expires_in: Number(life) }) } })
      name.value = ''
      secret(token)
      await load()
    })
    return h('details', { class: 'panel', open: false }, h('summary', {}, 'Make a token'),
      h('form', { class: 'form', on: { submit: (event) => { event.preventDefault(); create(event) } } },
        field('Name', name), h('fieldset', {}, h('legend', {}, 'Scopes'), boxes),
        field('Expires', select(lives, life, (value) => { life = value })), h('div', { class: 'actions' }, h('button', { class: 'primary' }, 'Make the token')), problems))
  }

  function secret(token) {
    put(made, h('div', { class: 'secret', role: 'status' }, h('h2', {}, `The token ${token.name}`), h('p', {}, 'Copy it now. It is shown once, and can’t be read again.'),
      h('p', {}, h('code', { class: 'wrap', id: 'secret' }, token.token), ' ', copyButton(token.token, 'Copy the token'), ' ', button('Done', () => put(made), 'small'))))
  }

  function draw() {
    if (tokens.length === 0) return put(body, emptyState('No tokens', 'Make one for each program and person, with only the scopes that it needs.'))
    put(body, h('ul', { class: 'token-list' }, tokens.map(line)))
  }

  function line(t) {
    const [kind, text] = t.revoked_at ? ['none', ['revoked ', at(t.revoked_at)]]
      : t.expires_at && new Date(t.expires_at) <= new Date() ? ['none', ['expired ', at(t.expires_at)]]
        : ['ready', t.expires_at ? ['expires ', moment(t.expires_at)] : 'never expires']
    const own = t.id === current().token?.id
    const revoke = working(errors, async () => {
      if (!await ask({ title: `Revoke the token ${t.name || t.id}?`, action: 'Revoke it', text: own ? 'It is the one of this session, which ends with it.' : 'Programs that use it stop working within 5 seconds. This can’t be undone.' })) return
      await call('DELETE', `v1/tokens/${encodeURIComponent(t.id)}`)
      await load()
    })
    return h('li', { class: 'token', 'data-token': t.id, 'data-state': kind === 'ready' ? 'valid' : 'over' },
      h('div', { class: 'copy-name' }, sign(kind), h('strong', {}, h('bdi', {}, t.name || 'no name')), own && h('span', { class: 'tag' }, 'this session'), h('span', { class: 'quiet' }, t.scopes.join(', '))),
      h('div', { class: 'actions' }, kind === 'ready' && button('Revoke', revoke, 'small')),
      h('p', { class: 'quiet' }, h('code', {}, t.id), ' · made ', at(t.created_at), ' · ', t.last_used_at ? ['used ', at(t.last_used_at)] : 'not used yet', ' · ', text))
  }

  if (!current().token) return { title: 'Tokens', node: h('div', {}, pageHead('Tokens'), emptyState('This gateway has no authentication', 'With CAS_AUTH=none there is nothing that a token would allow. The command cas token makes tokens for later.')) }
  load()
  return { title: 'Tokens', node }
}
