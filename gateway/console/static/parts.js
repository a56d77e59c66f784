import { h, sign, put } from './dom.js'

/** problemBox shows an error in the words of the API. */
export function problemBox(error) {
  return h('div', { class: 'alert', role: 'alert' }, sign('failed'),
    h('div', {},
      h('p', {}, error.message),
      error.provider_message && h('p', { class: 'wrap' }, `${error.provider}: ${error.provider_message}`),
      error.code && h('p', { class: 'quiet' }, h('code', {}, error.code), error.operation_id && [' · operation ', h('code', {}, error.operation_id)])))
}

/** emptyState says why there is nothing, and what to do. */
export function emptyState(title, text, ...actions) {
  return h('div', { class: 'empty' }, h('h2', {}, title), h('p', {}, text), actions.length > 0 && h('div', { class: 'actions' }, actions))
}

/** pageHead makes the heading of a view. */
export const pageHead = (title, ...rest) => h('div', { class: 'head' }, h('h1', { tabindex: '-1' }, title), rest)

/**
 * working makes a listener that runs an action and shows its error in `place`. Its button
 * takes no clicks meanwhile.
 */
export function working(place, action) {
  return async (event) => {
    const target = event?.currentTarget
    if (target) target.setAttribute('aria-busy', 'true')
    if (target) target.disabled = true
    put(place)
    try {
      await action(event)
    } catch (error) {
      if (error.name !== 'AbortError') put(place, problemBox(error))
    } finally {
      if (target) target.removeAttribute('aria-busy')
      if (target) target.disabled = false
    }
  }
}

/** stateSign returns the kind of sign for the state of a copy. */
export function stateSign(state) {
  return {
    ready: 'ready', pending: 'working', uploading: 'working', processing: 'working', unverified: 'working', failed: 'failed',
    lost: 'gone', evicted: 'none', deleting: 'leaving', deleted: 'none',
  }[state] ?? 'none'
}

/** isMoving reports whether the state of a copy changes by itself. */
export const isMoving = (state) => ['working', 'leaving'].includes(stateSign(state))

/** field makes a labelled control. */
export function field(label, control, hint) {
  const id = `f-${label.toLowerCase().replaceAll(/\W+/g, '-')}`
  control.id = id
  if (hint) control.setAttribute('aria-describedby', `${id}-hint`)
  return h('div', { class: 'field' }, h('label', { for: id }, label), control, hint && h('p', { class: 'quiet', id: `${id}-hint` }, hint))
}

/** select makes a choice of [value, text] pairs. */
export function select(options, value, listener, properties = {}) {
  return h('select', { on: { change: (event) => listener?.(event.target.value) }, ...properties },
    options.map(([v, text]) => h('option', { value: v, selected: v === value }, text)))
}
