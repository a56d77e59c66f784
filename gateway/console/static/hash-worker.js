// It hashes files one after the other, away from the page. WebCrypto needs a file whole in
// memory, so there is one at a time.
let last = Promise.resolve()

onmessage = ({ data: { id, file } }) => {
  last = last.then(async () => {
    try {
      const sum = await crypto.subtle.digest('SHA-256', await file.arrayBuffer())
      postMessage({ id, hex: [...new Uint8Array(sum)].map((b) => b.toString(16).padStart(2, '0')).join('') })
    } catch (error) {
      postMessage({ id, error: String(error) })
    }
  })
}
