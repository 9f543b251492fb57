// After Vite: writes the compressed forms that the program carries (x.br and x.gz beside x, where they are smaller), and
// weighs what a page load needs, in kB (1000 bytes) of gzip. Over budget is a failed build.
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'

const BUDGET = { 'before sign-in': 100, 'with the chat': 300 }
const dist = join(import.meta.dirname, 'dist')
const manifest = JSON.parse(readFileSync(join(dist, '.vite/manifest.json'), 'utf8'))
// The manifest is for this script alone: what is in dist/ is served.
rmSync(join(dist, '.vite'), { recursive: true })

const kB = new Map()
for (const name of readdirSync(dist, { recursive: true }).filter((n) => /\.(html|js|css|svg)$/.test(n))) {
  const plain = readFileSync(join(dist, name))
  const gzip = gzipSync(plain, { level: 9 })
  const brotli = brotliCompressSync(plain, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: plain.length } })
  kB.set(name, gzip.length / 1000)
  if (gzip.length < plain.length) writeFileSync(join(dist, `${name}.gz`), gzip)
  if (brotli.length < plain.length) writeFileSync(join(dist, `${name}.br`), brotli)
}

/** A chunk and everything it imports statically. */
const closure = (key, seen = new Set()) => {
  if (!seen.has(key)) {
    seen.add(key)
    for (const next of manifest[key].imports ?? []) closure(next, seen)
  }
  return seen
}
const entry = Object.keys(manifest).find((key) => manifest[key].isEntry)
const initial = closure(entry)
const chat = new Set([...initial, ...closure('src/Chat.tsx'), ...closure('src/components/Markdown.tsx')])
const sum = (keys) => [...new Set([...keys].map((key) => manifest[key].file))].reduce((total, file) => total + kB.get(file), 0)

for (const [name, weight] of [...kB].sort((a, b) => b[1] - a[1])) console.log(`${weight.toFixed(1).padStart(8)} kB  ${name}`)
for (const [name, weight] of Object.entries({ 'before sign-in': sum(initial), 'with the chat': sum(chat) })) {
  console.log(`${weight.toFixed(1).padStart(8)} kB of JavaScript ${name} (budget ${BUDGET[name]})`)
  if (weight > BUDGET[name]) process.exitCode = 1
}
