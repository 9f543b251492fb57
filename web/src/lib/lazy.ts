/** Chunks that survive a lost network: loading is tried again until it works, and nothing on the page breaks meanwhile. */
import { lazy, type ComponentType } from 'react'
import { pause } from './pause'

/** With a network, this many failures mean that the file is gone: the server carries a newer page. */
const ATTEMPTS = 5
const never = new AbortController().signal

export async function persist<T>(load: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await load()
    } catch (error) {
      if (attempt >= ATTEMPTS && navigator.onLine) throw error
      await pause(Math.min(8000, 300 * 2 ** attempt), never)
    }
  }
}

// React's own type of a lazy component's props.
export const chunk = <T extends ComponentType<any>>(load: () => Promise<{ default: T }>) => lazy(() => persist(load))
