import { h, put, ask, button, copyButton, digestMark, sign } from './dom.js'
import { address, blobPath, call, can, filePath, listProviders } from './api.js'
import { bytes, count, moment, at } from './format.js'
import { isMoving, pageHead, problemBox, select, stateSign, working, emptyState } from './parts.js'
import { preview, showText } from './preview.js'
import { forgetCopies, forgetList } from './files.js'

/** view shows one file: its preview, its facts, and its copies at providers. */
export function view({ id }) {
  const stop = new AbortController()
  const node = h('div', {}, pageHead('File'), h('p', { class: 'quiet' }, 'Loading…'))
  const page = { title: 'File', node, close: () => { stop.abort(); clearTimeout(page.timer) } }
  load()
  return page

  async function load() {
    try {
      const file = await call('GET', filePath(id), { signal: stop.signal })
      document.title = `${file.filename} · casgate`
      draw(file)
    } catch (error) {
      if (stop.signal.aborted) return
      const missing = error.code === 'file_not_found' && emptyState('There is no such file', 'It may have been deleted, or it has expired.', h('a', { class: 'button', href: '#/files' }, 'Show all files'))
      put(node, pageHead('File'), missing || problemBox(error))
      node.querySelector('h1').focus()
    }
  }

  function draw(file) {
    const errors = h('div')
    const download = file.sha256 ? address(blobPath(file.sha256), { download: file.filename }) : address(`${filePath(id)}/content`)
    const deletion = working(errors, async () => {
      if (!await ask({
        title: 'Delete this file everywhere?', action: 'Delete everywhere', typed: file.filename,
        text: 'The file, its bytes, its copies at all providers and its extracted texts are deleted. If other files have the same bytes, those stay. This can’t be undone.',
      })) return
      const result = await call('DELETE', filePath(id), { query: { everywhere: 'true' } })
      forgetList()
      put(node, pageHead('Deleted'), deleted(file, result))
      node.querySelector('h1').focus()
    })
    const facts = h('dl', { class: 'facts' })
    const fact = (name, ...value) => facts.append(h('dt', {}, name), h('dd', {}, ...value))
    fact('SHA-256', file.sha256 ? [h('code', { class: 'wrap' }, file.sha256), ' ', copyButton(file.sha256, 'Copy the SHA-256')] : 'not known yet')
    fact('Id', h('code', { class: 'wrap' }, file.id), ' ', copyButton(file.id, 'Copy the id'))
    if (file.url) fact('Hash URL', h('code', { class: 'wrap' }, file.url), ' ', copyButton(file.url, 'Copy the hash URL'))
    if (file.sha256) fact('Signed URL', signedURL(file))
    fact('Purpose', file.purpose)
    if (file.context) fact('Context', h('a', { href: `#/files?${new URLSearchParams({ context: file.context })}` }, file.context))
    if (file.tags.length > 0) fact('Tags', file.tags.map((tag) => [h('a', { class: 'tag', href: `#/files?${new URLSearchParams({ tag })}` }, tag), ' ']))
    if (Object.keys(file.metadata).length > 0) fact('Metadata', h('pre', {}, JSON.stringify(file.metadata, null, 2)))
    if (file.expires_at) fact('Expires', moment(file.expires_at), file.on_expiry === 'everywhere' && ', everywhere')
    if (file.last_accessed_at) fact('Last read', moment(file.last_accessed_at))
    put(node,
      h('p', { class: 'crumb' }, h('a', { href: '#/files' }, 'Files')),
      pageHead(h('bdi', { class: 'wrap' }, file.filename),
        h('div', { class: 'actions' }, h('a', { class: 'button', href: download.href, download: file.filename }, 'Download'),
          can('delete', 'sync') && button('Delete everywhere', deletion, 'danger'))),
      h('p', { class: 'quiet under-head' }, digestMark(file.sha256), ' ', h('span', { title: `${count(file.bytes)} bytes` }, bytes(file.bytes)), ' · ', file.media_type, ' · ', moment(file.created_at), file.sha256 && [' · ', h('a', { href: `#/operations?digest=sha256:${file.sha256}` }, 'operations')]),
      errors,
      file.status_details && h('p', { class: 'note' }, sign('failed'), ' ', file.status_details),
      h('div', { class: 'file-page' }, preview(file, stop.signal), facts),
      copiesSection(file),
      can('sync') && textSection(file))
    node.querySelector('h1').focus({ preventScroll: true })
  }

  function deleted(file, result) {
    const left = result.copies.filter((copy) => copy.state === 'deleting')
    const kept = result.blob?.state === 'kept'
    return [
      h('p', {}, h('bdi', {}, file.filename), ' is deleted.', kept && ` Its bytes stay: ${result.blob.reason}`),
      result.copies.length > 0 && h('ul', { class: 'plain-list' }, result.copies.map((copy) => h('li', {}, sign(stateSign(copy.state)), ` ${copy.provider}: ${copy.state}`))),
      left.length > 0 && h('p', { class: 'quiet' }, 'The gateway goes on until the providers confirm the deletes.'),
      h('p', {}, h('a', { class: 'button', href: '#/files' }, 'Show all files')),
    ]
  }

  function signedURL(file) {
    const result = h('div', { class: 'result' })
    let seconds = '3600'
    const make = working(result, async () => {
      const { url, expires_at } = await call('POST', `${blobPath(file.sha256)}/url`, { json: { expires_in: Number(seconds) } })
      put(result, h('code', { class: 'wrap' }, url), ' ', copyButton(url, 'Copy the signed URL'), h('p', { class: 'quiet' }, 'Reads the bytes without a token until ', moment(expires_at), '.'))
    })
    return [h('div', { class: 'inline' }, select([['600', '10 minutes'], ['3600', '1 hour'], ['86400', '1 day'], ['604800', '7 days']], seconds, (value) => { seconds = value }, { 'aria-label': 'Lifetime of the signed URL' }), button('Make a URL', make, 'small')), result]
  }

  function textSection(file) {
    const where = h('div', { class: 'result' })
    const show = working(where, async () => { await showText(where, `${filePath(file.id)}/text`, { signal: stop.signal }) })
    return h('section', {}, h('h2', {}, 'Extracted text'), h('p', { class: 'quiet' }, 'A provider extracts it once; the gateway keeps it. ', button('Show the text', show, 'small')), where)
  }

  function copiesSection(file) {
    const body = h('div', {}, h('p', { class: 'quiet' }, 'Loading…'))
    const errors = h('div')
    const reference = h('div', { class: 'result' })
    const section = h('section', {}, h('h2', {}, 'Copies at providers'), errors, body, reference)
    const path = (provider) => `${filePath(id)}/copies/${encodeURIComponent(provider)}`

    const refresh = async () => {
      clearTimeout(page.timer)
      const [{ copies }, providers] = await Promise.all([call('GET', `${filePath(id)}/copies`, { signal: stop.signal }), listProviders()])
      if (file.sha256) forgetCopies(file.sha256)
      table(copies, providers)
      if (copies.some((copy) => isMoving(copy.state))) later()
    }
    const later = () => {
      page.timer = setTimeout(() => {
        if (document.hidden) later()
        else refresh().catch((error) => { if (!stop.signal.aborted) put(errors, problemBox(error)) })
      }, 700)
    }
    const act = (method, provider, options) => working(errors, async () => {
      try {
        await call(method, path(provider), { ...options, headers: { Prefer: 'respond-async' } })
      } finally {
        await refresh()
      }
    })
    const lost = (copy) => working(errors, async () => {
      if (!await ask({
        title: `Does ${copy.provider} not know this file?`, action: 'Report it lost',
        text: 'The gateway asks the provider. If it has lost the file, the gateway uploads it again.',
      })) return
      try {
        await call('POST', `${path(copy.provider)}/lost`, { query: { purpose: copy.purpose, name: copy.name }, json: { provider_file_id: copy.provider_file_id }, headers: { Prefer: 'respond-async' } })
      } finally {
        await refresh()
      }
    })
    const drop = (copy) => async (event) => {
      const run = act('DELETE', copy.provider, { query: { purpose: copy.purpose } })
      if (await ask({ title: `Delete the copy at ${copy.provider}?`, action: 'Delete it there', text: 'The file and its bytes stay here, and can be copied there again. Chats that use this copy’s id stop working.' })) await run({ currentTarget: event.target })
    }
    const use = (provider, purpose) => working(errors, async () => {
      const answer = await call('GET', `${filePath(id)}/references/${encodeURIComponent(provider)}`, { query: { purpose } })
      const text = JSON.stringify(answer.value, null, 2)
      put(reference, h('h3', {}, `Use it in a chat with ${provider}`), answer.where && h('p', { class: 'quiet' }, answer.where),
        answer.warning && h('p', { class: 'note' }, answer.warning), h('pre', { tabindex: '0', role: 'region', 'aria-label': 'Reference' }, text), copyButton(text, 'Copy the reference'))
      await refresh()
    })

    function table(copies, providers) {
      const shown = copies.filter((copy) => copy.state !== 'deleted')
      const without = providers.filter((p) => p.configured && !shown.some((copy) => copy.provider === p.name))
      if (shown.length === 0 && without.length === 0) {
        return put(body, emptyState('No provider is configured', 'Set the key of a provider, such as CAS_KIMI_API_KEY, and start the gateway again. The view Providers says which there are.'))
      }
      put(body, h('ul', { class: 'copy-list' },
        shown.map((copy) => copyRow(copy, providers.find((p) => p.name === copy.provider))),
        without.map((p) => h('li', { class: 'copy', 'data-provider': p.name, 'data-state': 'none' },
          h('div', { class: 'copy-name' }, sign('none'), h('strong', {}, p.name), h('span', { class: 'quiet' }, p.available ? 'no copy' : 'no copy; it takes no requests now')),
          h('div', { class: 'actions' }, can('sync') && [syncControl(p), button('Use in a chat', use(p.name), 'small')])))))
    }

    function syncControl(p) {
      const purposes = (p.purposes ?? []).map((purpose) => purpose.name)
      let purpose = ''
      const choice = purposes.length > 1 && select([['', 'usual purpose'], ...purposes.map((name) => [name, name])], '', (value) => { purpose = value }, { 'aria-label': `Purpose at ${p.name}`, class: 'small' })
      return [choice, button('Sync', (event) => act('PUT', p.name, { query: { purpose, retry: 'true' } })(event), 'small')]
    }

    function copyRow(copy, provider) {
      const isHere = provider && provider.account === copy.account
      return h('li', { class: 'copy', 'data-provider': copy.provider, 'data-state': copy.state },
        h('div', { class: 'copy-name' }, sign(stateSign(copy.state)), h('strong', {}, copy.provider), h('span', {}, copy.state), h('span', { class: 'quiet' }, copy.purpose), copy.simulated && h('span', { class: 'tag' }, 'simulated'), !isHere && h('span', { class: 'tag', title: copy.account }, 'another account')),
        h('div', { class: 'actions' },
          can('sync') && isHere && !isMoving(copy.state) && copy.state !== 'ready' && button('Sync', act('PUT', copy.provider, { query: { purpose: copy.purpose, retry: 'true' } }), 'small'),
          can('sync') && copy.state === 'ready' && isHere && [button('Use in a chat', use(copy.provider, copy.purpose), 'small'), button('Report lost', lost(copy), 'small')],
          can('sync', 'delete') && copy.state !== 'deleting' && button('Delete there', drop(copy), 'small')),
        h('dl', { class: 'facts small-facts' },
          copy.provider_file_id && [h('dt', {}, 'Id there'), h('dd', {}, h('code', { class: 'wrap' }, copy.provider_file_id), ' ', copyButton(copy.provider_file_id, `Copy the id at ${copy.provider}`))],
          copy.last_used_at && [h('dt', {}, 'Last used'), h('dd', {}, at(copy.last_used_at))],
          copy.expires_at && [h('dt', {}, 'Expires'), h('dd', {}, moment(copy.expires_at))],
          copy.next_attempt_at && [h('dt', {}, 'Next attempt'), h('dd', {}, at(copy.next_attempt_at, { withSeconds: true }))]),
        copy.error && h('div', { class: 'copy-error' }, h('p', { class: 'wrap' }, copy.error.message || copy.error.kind, copy.error.code && [' ', h('code', {}, copy.error.code)]), copy.error.hint && h('p', { class: 'quiet' }, copy.error.hint)))
    }

    refresh().catch((error) => { if (!stop.signal.aborted) put(body, problemBox(error)) })
    return section
  }
}
