/** Waiting that ends early when there is reason to hope: the network is back, or the reader looks again. */

/** Waits, but not longer than until the network or the reader comes back. */
export const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer)
      removeEventListener('online', end)
      removeEventListener('loquat:retry', end)
      document.removeEventListener('visibilitychange', visible)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const visible = () => document.visibilityState === 'visible' && end()
    const timer = setTimeout(end, ms)
    addEventListener('online', end)
    addEventListener('loquat:retry', end)
    document.addEventListener('visibilitychange', visible)
    signal.addEventListener('abort', end)
  })

/** Ends the wait of every reconnecting run at once: the "retry now" button. */
export const retryNow = (): void => void dispatchEvent(new Event('loquat:retry'))
