import { h, put, button } from './dom.js'
import { problemBox } from './parts.js'

const OVERSCAN = 12
const narrow = matchMedia('(max-width: 720px)')

/**
 * List shows any number of rows, and keeps only those near the window in the document.
 * Rows have one height. More rows are loaded when the end comes near.
 *
 * `render(item)` returns a row's element; `load()` resolves to {items, more}; `empty` is
 * shown if there are no rows at all; `height` and `narrowHeight` are in pixels; `visible`
 * is called with the items in the window when scrolling pauses.
 */
export class List {
  constructor({ label, render, load, empty, height, narrowHeight, visible, noun }) {
    Object.assign(this, { render, load, empty, height, narrowHeight, visible, noun })
    this.items = []
    this.more = true
    this.rows = new Map()
    this.current = 0
    this.rowsElement = h('ol', { class: 'rows', 'aria-label': label, on: { keydown: (event) => this.key(event), focusin: (event) => this.focused(event) } })
    this.status = h('div', { class: 'list-status', role: 'status' })
    this.node = h('div', { class: 'list' }, this.rowsElement, this.status)
    this.stop = new AbortController()
    const later = () => { this.frame ??= requestAnimationFrame(() => { this.frame = null; this.show() }) }
    addEventListener('scroll', later, { passive: true, signal: this.stop.signal })
    addEventListener('resize', later, { signal: this.stop.signal })
  }

  close() {
    this.stop.abort()
    clearTimeout(this.pause)
    cancelAnimationFrame(this.frame)
  }

  get rowHeight() { return narrow.matches ? this.narrowHeight : this.height }

  /** replace shows other items. */
  replace(items, more) {
    const focused = this.rowsElement.contains(document.activeElement)
    this.items = items
    this.more = more
    this.rows.forEach((row) => row.element.remove())
    this.rows.clear()
    this.show()
    if (focused) this.focusable(this.rows.get(items[this.current])?.element)?.focus({ preventScroll: true })
    this.say()
  }

  /** prepend adds items at the start, and keeps the place of a list that was scrolled. */
  prepend(items) {
    if (items.length === 0) return
    this.items = [...items, ...this.items]
    if (this.current > 0) this.current += items.length
    const above = this.rowsElement.getBoundingClientRect().top
    this.show()
    if (above < 0) scrollBy(0, items.length * this.rowHeight)
    this.say()
  }

  /** refresh renders an item again. */
  refresh(item) {
    const row = this.rows.get(item)
    if (!row) return
    const focused = row.element.contains(document.activeElement)
    row.element.remove()
    this.rows.delete(item)
    this.show()
    if (focused) this.focusable(this.rows.get(item)?.element)?.focus({ preventScroll: true })
  }

  /** show puts the rows near the window into the document, and no others. */
  show() {
    const height = this.rowHeight
    this.rowsElement.style.height = `${this.items.length * height}px`
    const top = -this.rowsElement.getBoundingClientRect().top
    const first = Math.max(0, Math.floor(top / height) - OVERSCAN)
    const last = Math.min(this.items.length, Math.ceil((top + innerHeight) / height) + OVERSCAN)
    const wanted = new Set(this.items.slice(first, last))
    for (const [item, row] of this.rows) {
      // A row with the focus stays, or the keyboard would lose its place.
      if (wanted.has(item) || row.element.contains(document.activeElement)) continue
      row.element.remove()
      this.rows.delete(item)
    }
    for (let i = first; i < last; i++) this.place(i, height)
    if (this.more && last > this.items.length - 60) this.loadMore()
    clearTimeout(this.pause)
    const seen = this.items.slice(Math.max(0, Math.floor(top / height)), Math.max(0, Math.ceil((top + innerHeight) / height)))
    if (this.visible) this.pause = setTimeout(() => this.visible(seen), 120)
  }

  place(i, height) {
    const item = this.items[i]
    let row = this.rows.get(item)
    if (!row) {
      row = { element: h('li', {}, this.render(item)) }
      this.rows.set(item, row)
      const after = this.rows.get(this.items[i - 1])?.element
      if (after) after.after(row.element)
      else this.rowsElement.prepend(row.element)
    }
    if (row.index !== i || row.height !== height) {
      row.index = i
      row.height = height
      row.element.style.transform = `translateY(${i * height}px)`
      row.element.setAttribute('aria-posinset', i + 1)
    }
    row.element.setAttribute('aria-setsize', this.more ? -1 : this.items.length)
    const target = this.focusable(row.element)
    if (target) target.tabIndex = i === this.current ? 0 : -1
  }

  focusable(element) { return element?.querySelector('.row[href]') }

  async loadMore() {
    if (this.loading || this.failed) return
    this.loading = true
    this.say()
    try {
      const { items, more } = await this.load(this.items)
      if (this.stop.signal.aborted) return
      this.items.push(...items)
      this.more = more
    } catch (error) {
      if (this.stop.signal.aborted) return
      this.failed = error
    } finally {
      this.loading = false
    }
    this.show()
    this.say()
  }

  say() {
    if (this.failed) {
      const again = button('Try again', () => { this.failed = null; this.loadMore() })
      return put(this.status, problemBox(this.failed), again)
    }
    if (this.loading) return put(this.status, 'Loading…')
    if (this.items.length === 0 && !this.more) return put(this.status, this.empty)
    return put(this.status, this.more ? '' : `${this.items.length.toLocaleString('en')} ${this.items.length === 1 ? this.noun : this.noun + 's'}`)
  }

  focused(event) {
    for (const row of this.rows.values()) {
      if (!row.element.contains(event.target) || row.index === this.current) continue
      const before = [...this.rows.values()].find((r) => r.index === this.current)
      const old = this.focusable(before?.element)
      if (old) old.tabIndex = -1
      this.current = row.index
      const target = this.focusable(row.element)
      if (target) target.tabIndex = 0
    }
  }

  key(event) {
    const page = Math.max(1, Math.floor(innerHeight / this.rowHeight) - 3)
    const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key]
    if (!step || event.ctrlKey || event.metaKey || event.altKey || !event.target.closest('.row[href]')) return
    event.preventDefault()
    this.focus(Math.min(this.items.length - 1, Math.max(0, this.current + step)))
  }

  focus(i) {
    const height = this.rowHeight
    const top = this.rowsElement.getBoundingClientRect().top + i * height
    const margin = 2 * height + 56
    if (top < margin) scrollBy(0, top - margin)
    else if (top + height > innerHeight - height) scrollBy(0, top + 2 * height - innerHeight)
    this.current = i
    this.show()
    this.focusable(this.rows.get(this.items[i])?.element)?.focus({ preventScroll: true })
  }
}
