// Walks through a provider's sign-in pages as a browser without scripts would: follows redirects, keeps cookies, fills
// forms in. Ends at the address that the client named, with the code in its query.

const entities = { '&amp;': '&', '&quot;': '"', '&#39;': "'", '&#x27;': "'", '&lt;': '<', '&gt;': '>' }
const decode = (text) => text.replace(/&(amp|quot|#39|#x27|lt|gt);/g, (entity) => entities[entity])
const attribute = (tag, name) => {
  const found = tag.match(new RegExp(`\\b${name}=(?:"([^"]*)"|'([^']*)'|([^\\s>]+))`))
  return found && decode(found[1] ?? found[2] ?? found[3])
}

export async function walk(start, callback, filled) {
  const jar = new Map()
  let request = { url: start, method: 'GET', body: undefined }
  for (let step = 0; step < 20; step += 1) {
    const answer = await fetch(request.url, {
      method: request.method,
      redirect: 'manual',
      body: request.body,
      headers: {
        cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; '),
        ...(request.body && { 'content-type': 'application/x-www-form-urlencoded' }),
      },
    })
    for (const cookie of answer.headers.getSetCookie()) {
      const [pair] = cookie.split(';')
      jar.set(pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1))
    }
    const location = answer.headers.get('location')
    if (location) {
      const next = new URL(location, request.url)
      if (next.href.startsWith(callback)) return next
      request = { url: next.href, method: 'GET', body: undefined }
      continue
    }
    const html = await answer.text()
    const form = html.match(/<form\b[^>]*>[\s\S]*?<\/form>/)
    if (!answer.ok || !form) throw new Error(`${request.url}: ${answer.status} ${html.slice(0, 500)}`)
    const values = new URLSearchParams()
    for (const [tag] of form[0].matchAll(/<input\b[^>]*>/g)) {
      const name = attribute(tag, 'name')
      if (name) values.set(name, filled[name] ?? attribute(tag, 'value') ?? '')
    }
    const action = attribute(form[0].match(/<form\b[^>]*>/)[0], 'action')
    request = { url: new URL(action ?? '', request.url).href, method: 'POST', body: values.toString() }
  }
  throw new Error('the sign-in pages do not end')
}
