/** Bodies in pieces, frames as the server writes them, and an `Api` over a table of answers. */
import { Api, type TokenSource } from '../src/api/transport'
import { readFrames, type Frame } from '../src/api/sse'
import { decode, type ChatEvent } from '../src/chat/events'

export const bodyOf = (text: string, size: number): ReadableStream<Uint8Array> => {
  const bytes = new TextEncoder().encode(text)
  let at = 0
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) return controller.close()
      controller.enqueue(bytes.slice(at, at + size))
      at += size
    },
  })
}

export const framesOf = async (text: string, size: number): Promise<Frame[]> => {
  const frames: Frame[] = []
  for await (const frame of readFrames(bodyOf(text, size))) frames.push(frame)
  return frames
}

export const eventsOf = async (text: string, size = 7): Promise<ChatEvent[]> =>
  (await framesOf(text, size)).flatMap((frame) => decode(frame) ?? [])

/** `[event, data]` pairs as the wire has them; an empty name is an unnamed event. */
export const wire = (events: [string, unknown][], first = 1): string =>
  events.map(([event, data], i) => `id: ${first + i}\n${event && `event: ${event}\n`}data: ${JSON.stringify(data)}\n\n`).join('')

export const stream = (text: string, size = 5): Response =>
  new Response(bodyOf(text, size), { headers: { 'content-type': 'text/event-stream' } })

export const problem = (status: number, code: string, extra: object = {}, headers: Record<string, string> = {}): Response =>
  Response.json({ type: 'about:blank', title: code, status, detail: `The detail of ${code}.`, code, ...extra }, { status, headers })

export const nobody: TokenSource = {
  token: async () => undefined,
  renew: async () => false,
  signInAgain: () => new Promise(() => {}),
}
export const api = (auth: TokenSource = nobody) => new Api(auth)
