/** Signing in, in the ways that the server may ask for: a key, the provider's own page, or our form for Cognito. */
import { useState, type FormEvent, type ReactNode } from 'react'
import type { Config } from '../api/types'
import { ApiKey, type Provider } from '../auth'
import type { CognitoForm, Step } from '../auth/cognito'
import type { Oidc } from '../auth/oidc'
import { useI18n, useT } from '../i18n'
import type { Key } from '../i18n/strings'

const inputClass =
  'w-full rounded-lg border border-line bg-bg px-3 py-2.5 text-base outline-none focus:border-accent-text focus:ring-3 focus:ring-accent/20 sm:text-sm'
const submitClass = 'w-full rounded-lg bg-accent px-4 py-2.5 text-sm font-medium text-accent-ink hover:brightness-110 disabled:opacity-60'
const linkClass = 'rounded text-sm text-dim underline-offset-4 hover:text-ink hover:underline'

/** What Cognito's refusals mean, for readers of other languages than the one it speaks. */
const MEANINGS: Record<string, Key> = {
  UserNotFoundException: 'wrongPassword', CodeMismatchException: 'wrongCode', ExpiredCodeException: 'expiredCode', UsernameExistsException: 'nameTaken',
  InvalidPasswordException: 'weakPassword', LimitExceededException: 'tooManyAttempts', TooManyRequestsException: 'tooManyAttempts',
}

const meaningOf = (error: Error): Key | undefined =>
  // The name alone does not say it: a disabled user is refused by the same.
  error.name === 'NotAuthorizedException' && /incorrect username or password/i.test(error.message) ? 'wrongPassword' : MEANINGS[error.name]

interface Props {
  config: Config
  auth: Provider
  /** What went wrong before. */
  error?: string
  /** Signing in again, over the page. */
  again?: boolean
  onDone(): void
}

export default function SignIn({ config, auth, error, again, onDone }: Props) {
  const { t, language } = useI18n()
  const [failure, setFailure] = useState(error)
  const [busy, setBusy] = useState(false)
  const attempt = (action: () => Promise<void>) => {
    setBusy(true)
    setFailure(undefined)
    action()
      .catch((e: unknown) => {
        const meaning = e instanceof Error && language !== 'en' ? meaningOf(e) : undefined
        setFailure(meaning ? t(meaning) : e instanceof Error ? e.message : String(e))
      })
      .finally(() => setBusy(false))
  }
  const done = () => {
    auth.signedIn()
    onDone()
  }
  return (
    <div className="w-full max-w-sm rounded-2xl border border-line bg-card p-7 shadow-sm sm:p-8">
      <img src={config.agent.logo ?? '/favicon.svg'} alt="" width={40} height={40} className="mb-5 size-10" />
      <h1 className="text-xl font-semibold tracking-tight">{t('signInTo', { name: config.agent.name })}</h1>
      {again && <p className="mt-1 text-sm text-dim">{t('signInAgain')}</p>}
      {failure && <p role="alert" className="mt-3 rounded-lg bg-danger-soft px-3 py-2 text-sm text-danger">{t('signInFailed', { error: failure })}</p>}
      <div className="mt-6">
        {auth.kind === 'key' && <KeyForm busy={busy} onKey={(key) => ((auth as ApiKey).use(key), done())} />}
        {auth.kind === 'redirect' && (
          <button type="button" autoFocus disabled={busy} onClick={() => attempt(() => (auth as Oidc).signIn())} className={submitClass}>{t('continueToSignIn')}</button>
        )}
        {auth.kind === 'form' && <CognitoSteps auth={auth as CognitoForm} busy={busy} attempt={attempt} onDone={done} />}
      </div>
    </div>
  )
}

const Field = ({ label, ...rest }: { label: string; name: string; type?: string; autoComplete: string; autoFocus?: boolean; defaultValue?: string; inputMode?: 'numeric' }) => (
  <label className="block text-sm font-medium">
    <span className="mb-1.5 block">{label}</span>
    <input required spellCheck={false} autoCapitalize="none" className={inputClass} {...rest} />
  </label>
)

function Form({ onSubmit, children, busy, label }: { onSubmit(values: Record<string, string>): void; children: ReactNode; busy: boolean; label: string }) {
  const submit = (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault()
    onSubmit(Object.fromEntries([...new FormData(e.currentTarget)].map(([k, v]) => [k, String(v).trim()])))
  }
  return (
    <form onSubmit={submit} className="space-y-4">
      {children}
      <button type="submit" disabled={busy} className={submitClass}>{label}</button>
    </form>
  )
}

function KeyForm({ busy, onKey }: { busy: boolean; onKey(key: string): void }) {
  const t = useT()
  return (
    <Form busy={busy} label={t('signIn')} onSubmit={({ key }) => key && onKey(key)}>
      <Field label={t('apiKey')} name="key" type="password" autoComplete="off" autoFocus />
    </Form>
  )
}

interface StepsProps {
  auth: CognitoForm
  busy: boolean
  attempt(action: () => Promise<void>): void
  onDone(): void
}

function CognitoSteps({ auth, busy, attempt, onDone }: StepsProps) {
  const t = useT()
  const [step, setStep] = useState<Step>({ name: 'signIn' })
  const go = (next: () => Promise<Step>) =>
    attempt(async () => {
      const to = await next()
      if (to.name === 'done') onDone()
      else setStep(to)
    })
  const to = (name: 'signIn' | 'signUp' | 'forgot', label: Key) => <button type="button" className={linkClass} onClick={() => setStep({ name })}>{t(label)}</button>
  const username = <Field label={t('username')} name="username" autoComplete="username" autoFocus />
  const code = <Field label={t('codeLabel')} name="code" autoComplete="one-time-code" inputMode="numeric" autoFocus />
  const fresh = <Field label={t('newPassword')} name="password" type="password" autoComplete="new-password" />
  const hint = (text: string) => <p className="text-sm text-dim">{text}</p>

  switch (step.name) {
    case 'signIn':
      return (
        <>
          <Form busy={busy} label={t('signIn')} onSubmit={(v) => go(() => auth.signIn(v.username ?? '', v.password ?? ''))}>
            {username}
            <Field label={t('password')} name="password" type="password" autoComplete="current-password" />
          </Form>
          <div className="mt-5 flex justify-between">{to('forgot', 'forgotPassword')}{to('signUp', 'createAccount')}</div>
        </>
      )
    case 'signUp':
      return (
        <>
          <Form key="signUp" busy={busy} label={t('createAccount')} onSubmit={(v) => go(() => auth.signUp(v.username ?? '', v.password ?? ''))}>
            {username}
            <Field label={t('password')} name="password" type="password" autoComplete="new-password" />
          </Form>
          <div className="mt-5">{to('signIn', 'backToSignIn')}</div>
        </>
      )
    case 'confirm': {
      const { username: name, password } = step
      return (
        <>
          <Form key="confirm" busy={busy} label={t('confirmAccount')} onSubmit={(v) => go(() => auth.confirm(name, v.code ?? '', password))}>
            {hint(t('codeSent'))}
            {code}
          </Form>
          <div className="mt-5 flex justify-between">
            {to('signIn', 'backToSignIn')}
            <button type="button" className={linkClass} onClick={() => attempt(async () => void (await auth.resend(name)))}>{t('resend')}</button>
          </div>
        </>
      )
    }
    case 'forgot':
      return (
        <>
          <Form key="forgot" busy={busy} label={t('resetPassword')} onSubmit={(v) => go(() => auth.forgot(v.username ?? ''))}>{username}</Form>
          <div className="mt-5">{to('signIn', 'backToSignIn')}</div>
        </>
      )
    case 'reset': {
      const { username: name } = step
      return (
        <>
          <Form key="reset" busy={busy} label={t('resetPassword')} onSubmit={(v) => go(() => auth.reset(name, v.code ?? '', v.password ?? ''))}>
            {hint(t('codeSent'))}
            {code}
            {fresh}
          </Form>
          <div className="mt-5 flex justify-between">
            {to('signIn', 'backToSignIn')}
            <button type="button" className={linkClass} onClick={() => go(() => auth.forgot(name))}>{t('resend')}</button>
          </div>
        </>
      )
    }
    case 'newPassword':
      return (
        <>
          <Form key="new" busy={busy} label={t('signIn')} onSubmit={(v) => go(() => auth.challenge(v.password ?? ''))}>{fresh}</Form>
          <div className="mt-5">{to('signIn', 'backToSignIn')}</div>
        </>
      )
    case 'totpSetup':
      return (
        <Form key="setup" busy={busy} label={t('signIn')} onSubmit={(v) => go(() => auth.challenge(v.code ?? ''))}>
          {hint(t('totpSetup'))}
          <p className="rounded-lg bg-soft px-3 py-2 font-mono text-sm break-all select-all" dir="ltr">{step.secret}</p>
          <a href={step.uri} className={linkClass}>otpauth://</a>
          {code}
          <div>{to('signIn', 'backToSignIn')}</div>
        </Form>
      )
    case 'totp':
      return (
        <Form key="totp" busy={busy} label={t('signIn')} onSubmit={(v) => go(() => auth.challenge(v.code ?? ''))}>
          {hint(t('totp'))}
          {code}
          <div>{to('signIn', 'backToSignIn')}</div>
        </Form>
      )
    case 'done':
      return null
  }
}
