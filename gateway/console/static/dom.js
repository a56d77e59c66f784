// Elements are made here, and nowhere by markup in strings: text from the API is text.

/**
 * h makes an element. Properties: `on` has listeners by event, `class` and other names are
 * attributes (true: without a value; false, null and undefined: none). Children are nodes,
 * texts, or lists of them.
 */
export function h(tag, properties, ...children) {
  return fill(document.createElement(tag), properties, children)
}

const SVG = 'http://www.w3.org/2000/svg'

/** s is h for SVG. */
export function s(tag, properties, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children)
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (name === 'on') {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener)
    } else if (value !== false && value != null) {
      element.setAttribute(name, value === true ? '' : value)
    }
  }
  element.append(...nodes(children))
  return element
}

function nodes(children) {
  return children.flat(Infinity).filter((child) => child !== false && child != null)
}

/** put replaces the content of an element. */
export function put(element, ...children) {
  element.replaceChildren(...nodes(children))
  return element
}

/** button makes a button. `look` is a class: plain, primary, danger or small. */
export function button(label, listener, look = 'plain', properties = {}) {
  return h('button', { type: 'button', class: look, on: { click: listener }, ...properties }, label)
}

const signs = {
  // Each has a shape of its own, so no sign depends on its colour.
  ready: ['good', 'M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zm3.3 4.6-4 5a.8.8 0 0 1-1.2 0L4.4 9.3l1-1 1.2 1.2 3.5-4.3z'],
  working: ['busy', 'M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zm0 1.6v9.8a4.9 4.9 0 0 1 0-9.8z'],
  failed: ['bad', 'M8 1.2 15.2 14H.8zm-.9 4.6v4.2h1.8V5.8zm0 5.2v1.7h1.8V11z'],
  gone: ['warn', 'M8 .8 15.2 8 8 15.2.8 8zm0 2.4L3.2 8 8 12.8 12.8 8z'],
  leaving: ['warn', 'M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zm-4 5.6h8v1.8H4z'],
  none: ['off', 'M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zm0 1.5a5 5 0 1 1 0 10A5 5 0 0 1 8 3z'],
}

/** sign makes a sign of a state. With a label it is an image for screen readers. */
export function sign(kind, label) {
  const [tone, path] = signs[kind]
  const described = label ? { role: 'img', 'aria-label': label } : { 'aria-hidden': 'true' }
  return s('svg', { class: `sign ${tone}`, viewBox: '0 0 16 16', 'data-sign': kind, ...described }, label && s('title', {}, label), s('path', { d: path, 'fill-rule': 'evenodd' }))
}

/** digestMark draws the start of a digest: the same bytes have the same mark. */
export function digestMark(hex) {
  let bars = '' // one path, since a long list draws thousands of marks
  for (let i = 0; i < 7; i++) {
    const height = hex ? 2 + (parseInt(hex[2 * i], 16) / 15) * 12 : 2
    bars += `M${i * 3} 14h2v${-height}h-2z`
  }
  return s('svg', { class: hex ? 'digest-mark' : 'digest-mark unknown', viewBox: '0 0 20 14', 'aria-hidden': 'true' }, s('path', { d: bars }))
}

/** copyButton makes a button that copies a text to the clipboard. */
export function copyButton(text, label = 'Copy') {
  const b = button('Copy', async () => {
    await toClipboard(text)
    put(b, 'Copied')
    setTimeout(() => put(b, 'Copy'), 1500)
  }, 'small copy-button', { 'aria-label': label })
  return b
}

async function toClipboard(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text)
  // A page that is not a secure context has only this.
  const area = h('textarea', { class: 'offscreen', 'aria-hidden': 'true' })
  area.value = text
  document.body.append(area)
  area.select()
  document.execCommand('copy')
  area.remove()
}

/**
 * ask opens a dialog and resolves to true if the user confirms. With `typed`, the user
 * must type that text first.
 */
export function ask({ title, text, action, typed }) {
  return new Promise((resolve) => {
    const confirm = h('button', { class: 'danger', value: 'yes', disabled: typed != null }, action)
    const input = typed != null && h('input', {
      autocomplete: 'off', spellcheck: 'false', id: 'typed',
      on: { input: () => { confirm.disabled = input.value.trim() !== typed.trim() } },
    })
    const dialog = h('dialog', { 'aria-labelledby': 'dialog-title', on: { close: () => { dialog.remove(); resolve(dialog.returnValue === 'yes') } } },
      h('form', { method: 'dialog' },
        h('h2', { id: 'dialog-title' }, title), h('p', {}, text),
        input && h('label', { for: 'typed' }, 'Type ', h('code', { class: 'wrap' }, typed), ' to confirm'), input,
        h('div', { class: 'actions' }, button('Cancel', () => dialog.close('no')), confirm)))
    document.body.append(dialog)
    dialog.showModal()
  })
}
