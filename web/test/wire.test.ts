// Every transcript that the server's tests keep, read as the page reads it; what it ends up with is what the JavaScript
// client, written on its own, ends up with.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { decode, empty, fold } from '../../clients/js/src/index.js'
import { answerText, emptyAnswer, reduce, type ToolPart } from '../src/chat/reducer'
import { eventsOf, framesOf } from './support'

const folder = join(import.meta.dirname, '../../fixtures/wire/chat')
const names = readdirSync(folder)

describe('the transcripts of the server', () => {
  it('are there', () => expect(names.length).toBeGreaterThanOrEqual(12))

  it.each(names)('%s', async (name) => {
    const text = readFileSync(join(folder, name), 'utf8')
    const page = (await eventsOf(text)).reduce(reduce, emptyAnswer())
    const frames = await framesOf(text, 7)
    const client = frames
      .flatMap(({ id, event, raw }) => decode({ id, event, data: raw }) ?? [])
      .reduce(fold, empty())
    expect(page.status).toBe(client.outcome === 'failed' ? 'error' : 'done')
    expect(page.outcome ?? page.error?.code).toBe(client.error?.code ?? client.outcome)
    expect(page.parts.flatMap((part) => (part.type === 'text' ? part.text : [])).join('')).toBe(client.text)
    expect(answerText(page).replaceAll('\n', '')).toBe(client.text.replaceAll('\n', ''))
    expect(page.parts.flatMap((part) => (part.type === 'reasoning' ? part.text : [])).join('')).toBe(client.reasoning)
    const whole = (part: (typeof page.parts)[number]): part is ToolPart => part.type === 'tool' && part.input !== undefined
    expect(page.parts.filter(whole).map(({ id, input, output }) => ({ id, input, output }))).toEqual(
      client.tools.map(({ id, input, output }) => ({ id, input, output })),
    )
  })
})
