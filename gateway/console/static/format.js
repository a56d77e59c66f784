import { h } from './dom.js'

const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']

/** bytes formats a number of bytes, such as 3.2 MB. */
export function bytes(n) {
  if (n == null) return ''
  let unit = 0
  while (n >= 999.5 && unit < units.length - 1) { n /= 1000; unit++ }
  return `${unit === 0 || n >= 99.5 ? Math.round(n) : n.toPrecision(2)} ${units[unit]}`
}

/** count formats a whole number. */
export const count = (n) => n.toLocaleString('en')

/** plural returns the number with the right word. */
export const plural = (n, one, many = one + 's') => `${count(n)} ${n === 1 ? one : many}`

/** took formats milliseconds. */
export function took(ms) {
  if (ms < 1) return `${ms.toFixed(1)} ms`
  if (ms < 1000) return `${Math.round(ms)} ms`
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 60_000)} min`
}

const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' })
const seconds = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' })
const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' })
const year = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric' })
const whole = new Intl.DateTimeFormat('en-GB', { dateStyle: 'long', timeStyle: 'long' })

/** at makes a time: of day if it is today, else the date. It takes ISO text or seconds. */
export function at(value, { withSeconds = false } = {}) {
  if (value == null) return null
  const date = new Date(typeof value === 'number' ? value * 1000 : value)
  const now = new Date()
  let text = year.format(date)
  if (date.toDateString() === now.toDateString()) text = (withSeconds ? seconds : clock).format(date)
  else if (date.getFullYear() === now.getFullYear()) text = withSeconds ? `${day.format(date)} ${clock.format(date)}` : day.format(date)
  return h('time', { datetime: date.toISOString(), title: whole.format(date) }, text)
}

/** moment makes a whole date and time. */
export function moment(value) {
  const date = new Date(typeof value === 'number' ? value * 1000 : value)
  return h('time', { datetime: date.toISOString(), title: date.toISOString() }, `${year.format(date)}, ${clock.format(date)}`)
}

/** shortType makes a media type short: its subtype without parameters. */
export function shortType(mediaType) {
  const type = mediaType.split(';')[0]
  return { 'application/octet-stream': 'bytes', 'text/plain': 'text' }[type] ??
    type.split('/').pop().replace(/^(x-|vnd\.)/, '').replace(/^openxmlformats-officedocument\.(\w+)ml\..*/, '$1')
}
