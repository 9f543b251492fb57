/** Decides what stands on the page: the chat, the sign-in, or why neither can. */
import { Suspense, useCallback, useEffect, useState } from 'react'
import type { Config } from './api/types'
import { providerFor, type Provider } from './auth'
import { Boundary } from './components/Boundary'
import { Modal, Spinner, buttonClass } from './components/ui'
import { useT } from './i18n'
import { chunk } from './lib/lazy'
import { useAccent } from './lib/theme'

const Chat = chunk(() => import('./Chat'))
const SignIn = chunk(() => import('./components/SignIn'))

type State =
  | { at: 'starting' }
  | { at: 'unreachable' }
  | { at: 'sign_in'; config: Config; auth: Provider; error?: string }
  | { at: 'chat'; config: Config; auth: Provider }

const loadConfig = async (): Promise<Config> => {
  const response = await fetch('/config.json')
  if (!response.ok) throw new Error(`HTTP ${response.status}`)
  return (await response.json()) as Config
}

async function start(): Promise<State> {
  let config: Config
  let auth: Provider
  try {
    config = await loadConfig()
    // In parallel with what is left to do. Should it fail, the chunk is asked for again where it is shown.
    if (config.auth.type === 'none') void import('./Chat').catch(() => {})
    auth = await providerFor(config.auth)
  } catch {
    return { at: 'unreachable' }
  }
  try {
    return (await auth.restore()) ? { at: 'chat', config, auth } : { at: 'sign_in', config, auth }
  } catch (error) {
    return { at: 'sign_in', config, auth, error: error instanceof Error ? error.message : String(error) }
  }
}

// Once for the page, outside of React: a sign-in that comes back from the provider can be finished only once.
let starting: Promise<State> | undefined

const Waiting = () => {
  const t = useT()
  return (
    <div role="status" className="grid h-dvh place-items-center">
      <span className="sr-only">{t('loading')}</span>
      <Spinner className="size-6" />
    </div>
  )
}

export function App() {
  const t = useT()
  return (
    <Boundary message={t('errorPage')} action={t('reload')}>
      <Page />
    </Boundary>
  )
}

function Page() {
  const t = useT()
  const [state, setState] = useState<State>({ at: 'starting' })
  const [again, setAgain] = useState(false)
  const begin = useCallback(() => {
    starting ??= start()
    void starting.then(setState)
  }, [])
  useEffect(begin, [begin])

  const config = 'config' in state ? state.config : undefined
  const auth = 'auth' in state ? state.auth : undefined
  useAccent(config?.agent.accent)
  useEffect(() => {
    if (config) document.title = config.agent.name
  }, [config])
  useEffect(() => auth?.onSignInNeeded(setAgain), [auth])

  switch (state.at) {
    case 'starting':
      return <Waiting />
    case 'unreachable': {
      const retry = () => {
        starting = undefined
        setState({ at: 'starting' })
        begin()
      }
      return (
        <main className="grid h-dvh place-items-center">
          <div role="alert" className="flex flex-col items-center gap-4 text-dim">
            <p>{t('configFailed')}</p>
            <button type="button" onClick={retry} className={buttonClass}>{t('tryAgain')}</button>
          </div>
        </main>
      )
    }
    case 'sign_in':
      return (
        <main className="grid min-h-dvh place-items-center bg-panel px-4">
          <Suspense fallback={<Waiting />}>
            <SignIn config={state.config} auth={state.auth} error={state.error} onDone={() => setState({ at: 'chat', config: state.config, auth: state.auth })} />
          </Suspense>
        </main>
      )
    case 'chat': {
      const { config, auth } = state
      const signOut = () => void auth.signOut().finally(() => setState({ at: 'sign_in', config, auth }))
      return (
        <Suspense fallback={<Waiting />}>
          <Chat config={config} auth={auth} onSignOut={auth.kind === 'none' ? undefined : signOut} />
          <Modal open={again} onClose={() => setAgain(false)} label={t('signIn')} className="m-auto">
            <SignIn config={config} auth={auth} again onDone={() => setAgain(false)} />
          </Modal>
        </Suspense>
      )
    }
  }
}
