/** Browser storage that never throws: it may be full, blocked or absent, and the page works without it. */

const safe = <T>(action: () => T, otherwise: T): T => {
  try {
    return action()
  } catch {
    return otherwise
  }
}

export const read = (key: string): string | null => safe(() => localStorage.getItem(key), null)
export const write = (key: string, value: string | null): void =>
  safe(() => (value === null ? localStorage.removeItem(key) : localStorage.setItem(key, value)), undefined)
export const readSession = (key: string): string | null => safe(() => sessionStorage.getItem(key), null)
export const writeSession = (key: string, value: string | null): void =>
  safe(() => (value === null ? sessionStorage.removeItem(key) : sessionStorage.setItem(key, value)), undefined)

/** What is kept of the person who reads: drafts, messages on their way, stopped answers. Settings of the page are not. */
const PERSONAL = /^(draft|outbox|stopped):/
export const forgetReader = (): void =>
  safe(() => Object.keys(localStorage).filter((key) => PERSONAL.test(key)).forEach((key) => localStorage.removeItem(key)), undefined)

const draftKey = (sessionId: string | undefined) => `draft:${sessionId ?? 'new'}`
export const readDraft = (sessionId: string | undefined): string => read(draftKey(sessionId)) ?? ''
export const writeDraft = (sessionId: string | undefined, text: string): void => write(draftKey(sessionId), text || null)
