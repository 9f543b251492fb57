/** What is said for a few seconds at the bottom of the page: that something which was asked for has not happened. */
import type { Key } from '../i18n/strings'

export interface Notice {
  key: Key
  values?: Record<string, string>
}

const EVENT = 'loquat:notice'

export const say = (key: Key, values?: Notice['values']): void =>
  void dispatchEvent(new CustomEvent<Notice>(EVENT, { detail: { key, values } }))

/** Listens until the returned function is called. */
export const onNotice = (listener: (notice: Notice) => void): (() => void) => {
  const heard = (e: Event) => listener((e as CustomEvent<Notice>).detail)
  addEventListener(EVENT, heard)
  return () => removeEventListener(EVENT, heard)
}
