import { h, put, button } from './dom.js'
import { logIn } from './api.js'
import { problemBox } from './parts.js'

/** loginView asks for a token. `reason` says why, if the user was logged in before. */
export function loginView(reason, entered) {
  const errors = h('div')
  const input = h('input', { type: 'password', id: 'token', name: 'token', autocomplete: 'current-password', required: true, spellcheck: 'false', placeholder: 'cas_…' })
  const submit = async (event) => {
    event.preventDefault()
    put(errors)
    try {
      await logIn(input.value.trim())
      await entered()
    } catch (error) {
      put(errors, problemBox(error))
      input.select()
    }
  }
  const node = h('div', { class: 'login' },
    h('h1', { tabindex: '-1' }, 'Log in'),
    reason && h('p', { class: 'note', role: 'status' }, reason.message),
    h('form', { on: { submit } },
      h('label', { for: 'token' }, 'Token'), input,
      button('Log in', null, 'primary', { type: 'submit' })),
    errors,
    h('p', { class: 'quiet' }, 'A gateway on your own machine has made a first token: it is in the file ', h('code', {}, 'admin-token'), ' in its data folder. For others, an operator runs ',
      h('code', {}, 'cas token create --name you --scopes read,write'), '.'))
  return { node, shown: () => input.focus() }
}
