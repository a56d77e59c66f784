import { h, put, button, digestMark, sign } from './dom.js'
import { blobPath, call, can, listProviders } from './api.js'
import { at, bytes, shortType } from './format.js'
import { List } from './list.js'
import { emptyState, pageHead, stateSign } from './parts.js'
import { chooseFiles, hashOf, onUploaded } from './upload.js'

const filters = { name: 'name_prefix', tag: 'tag', context: 'context', purpose: 'purpose', sha256: 'sha256' }

// The list as it was left, so that coming back to it is instant and at the same place.
let left = null

/** forgetList makes the next visit load the list again. */
export function forgetList() { left = null }

/** words splits a search: words with quotes may have spaces. */
function words(text) {
  return text.match(/(?:[a-z0-9]+:)?"[^"]*"|\S+/g) ?? []
}

/** parseSearch reads a search such as `report tag:draft`. */
export function parseSearch(text) {
  const found = {}
  const name = []
  for (const word of words(text)) {
    const [, key, value] = word.match(/^(tag|context|purpose|sha256):"?([^"]*)"?$/) ?? []
    if (/^(sha256:)?[0-9a-f]{64}$/i.test(word)) found.sha256 = word.slice(-64).toLowerCase()
    else if (key) found[key] = value
    else name.push(word.replaceAll('"', ''))
  }
  if (name.length > 0) found.name = name.join(' ')
  return found
}

function searchText(query) {
  return Object.keys(filters).filter((key) => query.get(key)).map((key) => {
    const value = query.get(key)
    const quoted = /\s/.test(value) && key !== 'name' ? `"${value}"` : value
    return key === 'name' ? value : `${key}:${quoted}`
  }).join(' ')
}

const copies = new Map() // by SHA-256: {at, copies}

/** forgetCopies makes the next look at a blob's copies ask again. */
export function forgetCopies(hex) { copies.delete(hex) }

function copySigns(file, configured) {
  const known = copies.get(file.sha256)?.copies
  if (!known) return h('span', { class: 'copies' })
  const best = new Map()
  for (const copy of known) {
    const now = best.get(copy.provider)
    if (copy.state !== 'deleted' && (!now || copy.state === 'ready')) best.set(copy.provider, copy)
  }
  const names = [...new Set([...configured, ...best.keys()])]
  return h('span', { class: 'copies' }, names.map((name) => {
    const copy = best.get(name)
    return sign(copy ? stateSign(copy.state) : 'none', copy ? `${name}: ${copy.state}` : `${name}: no copy`)
  }))
}

/** filesView lists files, newest first. */
export function filesView({ query }) {
  const parameters = {}
  for (const [key, name] of Object.entries(filters)) if (query.get(key)) parameters[name] = query.get(key)
  const filtered = Object.keys(parameters).length > 0
  const key = JSON.stringify(parameters)
  let configured = []
  const uploaded = new Set() // ids that are in the list before the page that has them

  const row = (file) => h('a', { class: 'row file-row', href: `#/files/${encodeURIComponent(file.id)}` },
    digestMark(file.sha256),
    h('span', { class: 'name' }, h('bdi', {}, file.filename), file.status === 'error' && [' ', sign('failed', 'Its bytes can’t be read')]),
    h('span', { class: 'size' }, bytes(file.bytes)),
    h('span', { class: 'type' }, shortType(file.media_type)),
    h('span', { class: 'when' }, at(file.created_at)),
    copySigns(file, configured))

  const search = h('input', {
    id: 'search', type: 'search', autocomplete: 'off', spellcheck: 'false', 'aria-label': 'Search files', 'aria-describedby': 'search-hint',
    placeholder: 'Start of a name, or tag:… context:… purpose:… or a SHA-256', value: searchText(query),
    on: { paste: (event) => { if (event.clipboardData.files.length > 0) { event.preventDefault(); findFile(event.clipboardData.files[0]) } } },
  })
  const note = h('p', { class: 'quiet hint', id: 'search-hint', role: 'status' }, 'Press / to search. Paste a file to find it by its bytes.')
  const go = (found) => {
    const next = new URLSearchParams(found).toString()
    location.hash = next ? `#/files?${next}` : '#/files'
  }
  const findFile = async (file) => {
    put(note, `Reading ${file.name}…`)
    try {
      go({ sha256: await hashOf(file) })
    } catch (error) {
      put(note, error.message)
    }
  }
  const pick = button('Find a file', () => chooseFiles((files) => findFile(files[0]), { multiple: false }), 'plain', { title: 'Choose a file on your disk, and see if the gateway has its bytes' })

  const empty = filtered
    ? emptyState('No file matches', 'A name must start with the words. Tags, contexts and purposes must be equal.', button('Show all files', () => go({})))
    : emptyState('No files yet', can('write') ? 'Drop files anywhere on this page. The browser hashes them first, so bytes that the gateway knows are not sent again.' : 'This token can’t upload. A token with the scope write can.',
      can('write') && button('Upload files', () => chooseFiles(), 'primary'))

  const reuse = left?.key === key && Date.now() - left.at < 60_000 ? left : null
  const list = new List({
    label: 'Files', noun: 'file', render: row, empty, height: 36, narrowHeight: 62,
    load: async (items) => {
      const page = await call('GET', 'v1/files', { query: { ...parameters, limit: items.length ? 1000 : 60, after: items.at(-1)?.id } })
      return { items: page.data.filter((file) => !uploaded.has(file.id)), more: page.has_more }
    },
    visible: (items) => loadCopies(items),
  })

  const loadCopies = async (items) => {
    const wanted = items.filter((file) => file.sha256 && !(Date.now() - copies.get(file.sha256)?.at < 10_000)).slice(0, 80)
    const next = async () => {
      for (let file; (file = wanted.shift()) && !list.stop.signal.aborted;) {
        try {
          const answer = await call('GET', `${blobPath(file.sha256)}/copies`, { signal: list.stop.signal })
          copies.set(file.sha256, { at: Date.now(), copies: answer.copies })
          list.refresh(file)
        } catch { /* the row shows no signs, and the next pause asks again */ }
      }
    }
    await Promise.all([next(), next(), next()])
  }

  // A list that was left lacks the files that came since.
  const catchUp = async () => {
    const { data } = await call('GET', 'v1/files', { query: { ...parameters, limit: 60 }, signal: list.stop.signal })
    const known = new Set(list.items.map((file) => file.id))
    const fresh = data.filter((file) => !known.has(file.id))
    if (fresh.length === 60) list.replace([], true) // there may be more between
    else list.prepend(fresh)
  }

  const stopListening = onUploaded((file) => {
    if (filtered) return
    copies.delete(file.sha256)
    uploaded.add(file.id)
    list.prepend([file])
  })

  const columns = h('div', { class: 'file-row columns', 'aria-hidden': 'true' },
    h('span'), h('span', { class: 'name' }, 'Name'), h('span', { class: 'size' }, 'Size'), h('span', { class: 'type' }, 'Type'), h('span', { class: 'when' }, 'Created'), h('span', { class: 'copies' }, 'Copies'))
  const node = h('div', {},
    pageHead('Files', h('div', { class: 'actions' }, pick, can('write') && button('Upload', () => chooseFiles(), 'primary'))),
    h('form', { class: 'search', role: 'search', on: { submit: (event) => { event.preventDefault(); go(parseSearch(search.value)) } } }, search),
    h('div', { class: 'under-search' }, note, filtered && button('Show all files', () => go({}), 'small')),
    columns, list.node)

  return {
    title: 'Files', node,
    focus: filtered ? () => search.focus({ preventScroll: true }) : reuse ? () => list.rows.get(list.items[list.current])?.element.querySelector('a')?.focus({ preventScroll: true }) : undefined,
    shown: () => {
      if (reuse) {
        list.current = reuse.current
        list.replace(reuse.items, reuse.more)
        scrollTo(0, reuse.scroll)
        catchUp().catch(() => { /* the list stays as it was left */ })
      }
      list.show()
      listProviders().then((all) => {
        configured = all.filter((p) => p.configured).map((p) => p.name)
        list.replace(list.items, list.more)
      }).catch(() => { /* the Providers view tells why; here, rows show the copies that there are */ })
    },
    close: () => {
      left = { key, at: Date.now(), items: list.items, more: list.more, scroll: scrollY, current: list.current }
      stopListening()
      list.close()
    },
  }
}
