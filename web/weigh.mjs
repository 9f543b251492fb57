// After a build: says what each page load weighs, and fails when it is over budget (kB = 1000 bytes, gzip level 9).
import { readFileSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'

const BUDGET = { 'before sign-in': 100, 'with the chat': 300 }
const dist = join(import.meta.dirname, 'dist')
const manifest = JSON.parse(readFileSync(join(dist, '.vite/manifest.json'), 'utf8'))
const kB = (file) => gzipSync(readFileSync(join(dist, file)), { level: 9 }).length / 1000

// The manifest is for this script alone: what is in dist/ is served.
rmSync(join(dist, '.vite'), { recursive: true })

/** A chunk and everything it imports statically. */
const closure = (key, seen = new Set()) => {
  if (!seen.has(key)) {
    seen.add(key)
    for (const next of manifest[key].imports ?? []) closure(next, seen)
  }
  return seen
}
const entry = Object.keys(manifest).find((key) => manifest[key].isEntry)
const files = (keys) => [...new Set([...keys].map((key) => manifest[key].file))]
const initial = closure(entry)
const chat = new Set([...initial, ...closure('src/Chat.tsx'), ...closure('src/components/Markdown.tsx')])
const sum = (keys) => files(keys).reduce((total, file) => total + kB(file), 0)
const weights = { 'before sign-in': sum(initial), 'with the chat': sum(chat) }

for (const name of readdirSync(join(dist, 'assets')).filter((f) => /\.(js|css)$/.test(f)).sort())
  console.log(`${kB(`assets/${name}`).toFixed(1).padStart(8)} kB gzip  ${name}`)
let over = false
for (const [name, weight] of Object.entries(weights)) {
  over ||= weight > BUDGET[name]
  console.log(`${weight.toFixed(1).padStart(8)} kB of JavaScript ${name} (budget ${BUDGET[name]})`)
}
if (over) process.exit(1)
