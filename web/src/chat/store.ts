/**
 * The conversations that this tab has open, and the runs it follows. Knows no React: components subscribe to it. A run
 * goes on being followed when the reader looks at another conversation.
 */
import { backoff, followRun, type Link } from '../api/run'
import type { Frame } from '../api/sse'
import { Problem, type Api } from '../api/transport'
import type { OutgoingAttachment } from '../api/types'
import { say } from '../lib/notice'
import { pause } from '../lib/pause'
import { forgetReader, read, write, writeDraft } from '../lib/storage'
import { uuid } from '../lib/uuid'
import { decode } from './events'
import { branchesOf, sessionTurns, type Attachment, type Branch, type Turn } from './history'
import { anew } from './lost'
import * as outbox from './outbox'
import { emptyAnswer, pendingApprovals, reduce, type Answer } from './reducer'
import { record, replay, Traces, type Trace } from './trace'
import { abandoned, keepStatus, sameKeys } from './turns'

export interface Live {
  turnKey: string
  runId: string
  link: Link
  /** The connection broke and has not come back yet. */
  retrying: boolean
  stopping: boolean
}

/** What the reader wrote. */
export type Message = Pick<Turn, 'text' | 'attachments'>

export interface Conversation {
  id: string
  phase: 'ready' | 'loading' | 'missing' | 'failed'
  title?: string
  turns: Turn[]
  branches: Branch[]
  /** The line being looked at; undefined is the current one. */
  viewed?: number
  live?: Live
}

interface Run {
  id: string
  session: string
  turnKey: string
  answer: Answer
  control: AbortController
  trace: Trace
  /** Some frame has arrived, so the server knows the run. */
  seen: boolean
  stopping: boolean
  dirty: boolean
}

export interface StoreOptions {
  api: Api
  /** False: the server keeps nothing, so there is nothing to load or to branch. */
  keepsSessions: boolean
  onListChange(): void
  onMention(id: string, title: string): void
}

const fresh = (id: string): Conversation => ({ id, phase: 'ready', turns: [], branches: [] })
/** A refused message stays on the page with what to do about it; only these give the text back at once. */
const RESTORES_DRAFT = new Set(['session_busy'])
/** A run that takes longer to be told is one that still goes on. */
const INSPECT_MS = 20_000
const never = new AbortController().signal
const stoppedKey = (id: string) => `stopped:${id}`

export class ChatStore {
  private conversations = new Map<string, Conversation>()
  private runs = new Map<string, Run>()
  private listeners = new Set<() => void>()
  private scheduled = false
  private channel = typeof BroadcastChannel === 'undefined' ? undefined : new BroadcastChannel('loquat')
  /** The ids of runs that this page has asked for by itself. */
  private readonly askedAnew = new Set<string>()
  /** The runs that the reader has stopped here. The last one of each conversation is kept over a reload, too. */
  private readonly stopped = new Set<string>()
  readonly traces = new Traces()

  constructor(private readonly options: StoreOptions) {
    this.channel?.addEventListener('message', (e: MessageEvent<{ changed?: string }>) => {
      options.onListChange()
      if (options.keepsSessions && e.data.changed && this.conversations.has(e.data.changed)) void this.load(e.data.changed)
    })
    document.addEventListener('visibilitychange', this.look)
  }

  private look = () => document.visibilityState === 'visible' && this.options.onListChange()

  /** The reader signs out: the server's runs go on, and nobody here follows them. */
  end() {
    document.removeEventListener('visibilitychange', this.look)
    this.channel?.close()
    this.channel = undefined
    for (const run of this.runs.values()) run.control.abort()
    forgetReader()
  }

  subscribe = (listener: () => void) => {
    this.listeners.add(listener)
    return () => void this.listeners.delete(listener)
  }
  get = (id: string): Conversation | undefined => this.conversations.get(id)
  isLive = (id: string): boolean => this.conversations.get(id)?.live !== undefined

  private notify() {
    for (const listener of this.listeners) listener()
  }

  private update(id: string, change: (c: Conversation) => Conversation) {
    this.conversations.set(id, change(this.conversations.get(id) ?? fresh(id)))
    this.notify()
  }

  private updateTurn(id: string, key: string, change: (t: Turn) => Turn) {
    this.update(id, (c) => ({ ...c, turns: c.turns.map((t) => (t.key === key ? change(t) : t)) }))
  }

  /** Loads a conversation that is not here yet, and joins its run when one is live. */
  open(id: string) {
    const known = this.conversations.get(id)
    if (known && known.phase !== 'failed' && known.phase !== 'missing') return
    this.update(id, () => ({ ...fresh(id), phase: 'loading' }))
    void this.load(id)
  }

  /** Looks again at a conversation that may have changed elsewhere. */
  refresh(id: string) {
    if (this.get(id)?.phase === 'ready') void this.load(id)
  }

  private async load(id: string, attempt = 0) {
    if (this.isLive(id)) return
    const outgoing = outbox.waiting(id)
    try {
      const session = await this.options.api.session(id)
      if (this.isLive(id)) return
      const turns = sameKeys(sessionTurns(session), this.get(id)?.turns)
      const branches = branchesOf(session.branches)
      const last = turns.at(-1)
      if (last && session.pending) last.runId = session.pending.run_id
      this.update(id, (c) => {
        // Whoever reads an earlier version goes on reading it.
        const viewed = c.branches.length === branches.length ? c.viewed : undefined
        return { ...c, phase: 'ready', title: session.title, turns, branches, viewed }
      })
      const arrived = outgoing && (session.run?.id === outgoing.runId || turns.some((t) => t.runId === outgoing.runId || t.key === outgoing.runId))
      if (session.run && last) this.join(id, last, session.run.id)
      else if (last && pendingApprovals(last.answer).length > 0 && last.runId) void this.explainApprovals(id, last, last.runId)
      if (arrived) outbox.forget(id)
      else if (outgoing && !session.run) return this.resubmit(id, outgoing)
      if (last && !session.run) this.askAnew(id, last)
    } catch (error) {
      if (error instanceof Problem && error.status === 404 && outgoing) return this.resubmit(id, outgoing)
      if (error instanceof Problem && error.status === 401) return void this.options.api.auth.signInAgain().then(() => this.load(id))
      const missing = error instanceof Problem && (error.status === 404 || error.status === 400)
      const shown = this.get(id)?.turns ?? []
      // Whether the rest of an answer is lost is not known yet.
      const transient = error instanceof Problem && (error.status === 0 || error.status === 429 || error.status >= 500)
      if (transient && shown.some((t) => t.answer.status === 'running' || anew(t))) return void pause(backoff(attempt), never).then(() => this.load(id, attempt + 1))
      // What is on the page stays there: the reader has seen it, and may want to ask again.
      if (shown.length > 0) {
        const keeps = this.options.keepsSessions
        const turns = shown.map((t) => abandoned(t, keeps))
        this.update(id, (c) => ({ ...c, phase: 'ready', turns }))
        const last = turns.at(-1)
        if (last && !keeps) this.askAnew(id, last)
        return
      }
      this.update(id, (c) => ({ ...c, phase: missing ? 'missing' : 'failed' }))
    }
  }

  /** Sends a message. `replaceAt`: it takes the place of the turn at that message, and of all that followed. */
  send(id: string, text: string, attachments: Attachment[] = [], replaceAt?: number, runId = uuid()) {
    if (this.isLive(id)) return
    const body: Record<string, unknown> = { message: text, session_id: id, run_id: runId, events: 'all' }
    const files = attachments.flatMap((a): OutgoingAttachment[] => (a.data ? [{ name: a.name, media_type: a.mediaType, data: a.data }] : []))
    if (files.length > 0) body.attachments = files
    if (replaceAt !== undefined && this.options.keepsSessions) body.history_length = replaceAt
    outbox.keep(id, { runId, body, at: Date.now() })
    this.begin(id, runId, body, text, attachments, replaceAt)
  }

  /** The server died while it answered: asks once more, unless the reader wanted no more of it. */
  private askAnew(id: string, turn: Turn) {
    const runId = anew(turn)
    if (runId === undefined || turn.runId === undefined || this.askedAnew.has(runId)) return
    if (this.stopped.has(turn.runId) || read(stoppedKey(id)) === turn.runId) return
    this.askedAnew.add(runId)
    this.send(id, turn.text, turn.attachments, turn.at, runId)
  }

  private resubmit(id: string, { runId, body }: outbox.Outgoing) {
    this.update(id, (c) => ({ ...c, phase: 'ready' }))
    const files = (body.attachments ?? []) as OutgoingAttachment[]
    const attachments = files.map((f) => ({ name: f.name, mediaType: f.media_type, data: f.data }))
    this.begin(id, runId, body, String(body.message ?? ''), attachments, body.history_length as number | undefined)
  }

  private begin(id: string, runId: string, body: Record<string, unknown>, text: string, attachments: Attachment[], replaceAt?: number) {
    const known = this.conversations.get(id)?.turns ?? []
    const kept = known.filter((t) => !t.unsent && (replaceAt === undefined || t.at < replaceAt))
    const replaced = known.filter((t) => !t.unsent && replaceAt !== undefined && t.at >= replaceAt)
    const turn: Turn = {
      key: runId,
      runId,
      // The server says where it stands, where it keeps conversations.
      at: replaceAt ?? (this.options.keepsSessions ? Number.MAX_SAFE_INTEGER : 2 * kept.length),
      text,
      attachments,
      createdAt: new Date().toISOString(),
      answer: emptyAnswer(),
    }
    this.update(id, (c) => ({
      ...c,
      turns: [...kept, turn],
      branches: replaced.length > 0 && replaceAt !== undefined ? [...c.branches, { at: replaceAt, turns: replaced }] : c.branches,
      viewed: undefined,
    }))
    this.options.onMention(id, text)
    const undo = { turns: known.filter((t) => !t.unsent), branches: this.conversations.get(id)?.branches.slice(0, replaced.length > 0 ? -1 : undefined) ?? [] }
    void this.follow(id, turn, runId, { path: '/chat', body }).catch((error: unknown) => this.refused(id, turn, error, replaceAt, undo))
  }

  /** The server did not take the message: nothing was stored, so what it would have replaced is still there. */
  private refused(id: string, turn: Turn, error: unknown, replaceAt: number | undefined, undo: Pick<Conversation, 'turns' | 'branches'>) {
    outbox.forget(id)
    const problem = error instanceof Problem ? error : new Problem(0, 'internal', String(error))
    if (problem.code === 'run_gone') return void this.load(id)
    // Whoever was faster is answered; nothing was written that could be given back.
    if (this.askedAnew.has(turn.key) && problem.status === 409) return void this.load(id)
    if (RESTORES_DRAFT.has(problem.code)) {
      writeDraft(id, turn.text)
      this.update(id, (c) => ({ ...c, ...undo }))
      dispatchEvent(new CustomEvent('loquat:draft', { detail: turn.attachments }))
      say('errorBusy')
      return void this.load(id)
    }
    const { code, message, retryAfter, status } = problem
    const retryable = status === 0 || status === 429 || status >= 500
    this.update(id, (c) => ({ ...c, branches: undo.branches }))
    this.updateTurn(id, turn.key, (t) => ({
      ...t,
      unsent: { replaceAt },
      answer: { ...t.answer, status: 'error', error: { message, code, retryable, retryAfter } },
    }))
  }

  private join(id: string, turn: Turn, runId: string) {
    this.follow(id, turn, runId).catch(async () => {
      // The run's log is gone; what was stored is what there is.
      try {
        const session = await this.options.api.session(id)
        this.update(id, (c) => ({ ...c, turns: sessionTurns({ ...session, run: undefined }), branches: branchesOf(session.branches) }))
      } catch {
        this.update(id, (c) => ({ ...c, phase: 'failed' }))
      }
    })
  }

  /** The reason and the end of waiting approvals are in the run's log, not in the stored messages. */
  private async explainApprovals(id: string, turn: Turn, runId: string) {
    const onFrame = (frame: Frame) => {
      const event = decode(frame)
      if (event?.type === 'approval' || event?.type === 'client_tool') this.updateTurn(id, turn.key, (t) => ({ ...t, answer: { ...t.answer, ...keepStatus(t.answer, event) } }))
    }
    await this.readRun(runId, onFrame)
  }

  /** Reads the log of a run from its beginning. A log that is gone, or that nobody may read any more, has nothing to say. */
  private async readRun(runId: string, onFrame: (frame: Frame) => void) {
    try {
      await followRun(this.options.api, { runId, signal: AbortSignal.timeout(INSPECT_MS), onFrame, onLink: () => {} })
    } catch (error) {
      if (!(error instanceof Problem)) throw error
    }
  }

  /** Reads the log of a run that was not followed here, for whoever wants to see how it went. */
  async inspect(runId: string) {
    if (this.traces.runs.has(runId)) return
    const trace = replay(runId)
    const onFrame = (frame: Frame) => record(trace, frame)
    await this.readRun(runId, onFrame)
    if (trace.frames.length > 0 && !this.traces.runs.has(runId)) this.traces.add(trace)
  }

  private async follow(id: string, turn: Turn, runId: string, submit?: { path: string; body: Record<string, unknown> }) {
    const run: Run = {
      id: runId, session: id, turnKey: turn.key, answer: turn.answer, control: new AbortController(),
      trace: this.traces.begin(runId, submit === undefined), seen: false, stopping: false, dirty: false,
    }
    this.runs.set(id, run)
    this.update(id, (c) => ({ ...c, live: { turnKey: turn.key, runId, link: 'connecting', retrying: false, stopping: false } }))
    try {
      await followRun(this.options.api, {
        runId,
        submit,
        signal: run.control.signal,
        onFrame: (frame) => this.take(run, frame),
        onLink: (link) => {
          run.trace.links.push({ at: performance.now(), link })
          this.update(id, (c) => {
            const retrying = link === 'waiting' || (link === 'connecting' && c.live?.retrying === true)
            return c.live ? { ...c, live: { ...c.live, link, retrying } } : c
          })
        },
      })
    } catch (error) {
      if (run.seen && error instanceof Problem) throw new Problem(error.status, 'run_gone', error.message)
      throw error
    } finally {
      this.flush()
      if (this.runs.get(id) === run) this.runs.delete(id)
      this.update(id, (c) => ({ ...c, live: undefined }))
      this.changed(id)
    }
    // The log says that its process died; what is to be done depends on what was stored.
    if (run.answer.error?.code === 'run_lost') void this.load(id).then(this.options.onListChange)
  }

  private changed(id: string) {
    this.channel?.postMessage({ changed: id })
    this.options.onListChange()
  }

  private take(run: Run, frame: Frame) {
    record(run.trace, frame)
    if (!run.seen) {
      run.seen = true
      outbox.forget(run.session)
      this.changed(run.session)
      if (run.stopping) void this.tellStop(run)
    }
    const event = decode(frame)
    if (!event) return
    if (event.type === 'metadata' && event.historyLength !== undefined && !event.continues && this.options.keepsSessions) {
      const at = event.historyLength
      this.updateTurn(run.session, run.turnKey, (t) => ({ ...t, at }))
    }
    run.answer = reduce(run.answer, event)
    run.dirty = true
    if (event.type === 'done') write(stoppedKey(run.session), null)
    if (event.type === 'done' || event.type === 'error') {
      this.flush()
      this.updateTurn(run.session, run.turnKey, (t) => ({ ...t, answeredAt: new Date().toISOString() }))
      return
    }
    this.schedule()
  }

  /** At most once a frame, however fast the tokens come. Hidden tabs get no frames, so a timer stands in. */
  private schedule() {
    if (this.scheduled) return
    this.scheduled = true
    if (document.visibilityState === 'hidden') setTimeout(this.flush, 250)
    else requestAnimationFrame(this.flush)
  }

  private flush = () => {
    this.scheduled = false
    for (const run of this.runs.values()) {
      if (!run.dirty) continue
      run.dirty = false
      this.updateTurn(run.session, run.turnKey, (t) => ({ ...t, answer: run.answer }))
    }
  }

  /** Stops the run of a conversation. Gives the message back when it never left this page. */
  stop(id: string): Message | undefined {
    const run = this.runs.get(id)
    if (!run || run.stopping) return undefined
    const live = this.conversations.get(id)?.live
    if (!run.seen && (live?.retrying || live?.link === 'signed_out')) {
      run.control.abort()
      // Should a request have got through all the same, its run is of no use any more.
      this.options.api.stop(run.id).catch(() => {})
      outbox.forget(id)
      const turn = this.conversations.get(id)?.turns.find((t) => t.key === run.turnKey)
      this.update(id, (c) => ({ ...c, turns: c.turns.filter((t) => t.key !== run.turnKey) }))
      return turn
    }
    run.stopping = true
    this.stopped.add(run.id)
    write(stoppedKey(id), run.id)
    this.update(id, (c) => (c.live ? { ...c, live: { ...c.live, stopping: true } } : c))
    void this.tellStop(run)
    return undefined
  }

  private async tellStop(run: Run) {
    for (let attempt = 0; this.runs.get(run.session) === run; attempt++) {
      try {
        await this.options.api.stop(run.id)
        return
      } catch (error) {
        // The server may not know the run yet; the first frame asks again.
        if (error instanceof Problem && error.status === 404 && !run.seen) return
        await new Promise((resolve) => setTimeout(resolve, Math.min(5000, 300 * 2 ** attempt)))
      }
    }
  }

  /** The same question again, in place of the turn. */
  regenerate(id: string, turn: Turn) {
    const replaceAt = turn.unsent ? turn.unsent.replaceAt : turn.at
    this.send(id, turn.text, turn.attachments, replaceAt)
  }

  edit(id: string, turn: Turn, text: string) {
    this.send(id, text, turn.attachments, turn.unsent ? turn.unsent.replaceAt : turn.at)
  }

  /** Notes a decision; when none is open any more the run goes on. */
  approve(id: string, turn: Turn, toolId: string, approved: boolean) {
    const decision = approved ? ('approved' as const) : ('denied' as const)
    this.updateTurn(id, turn.key, (t) => ({
      ...t,
      answer: { ...t.answer, parts: t.answer.parts.map((p) => (p.type === 'tool' && p.id === toolId && p.approval ? { ...p, approval: { ...p.approval, decision } } : p)) },
    }))
    const now = this.conversations.get(id)?.turns.find((t) => t.key === turn.key)
    if (!now?.runId || this.isLive(id)) return
    const pending = pendingApprovals(now.answer)
    if (pending.some((p) => p.approval?.decision === undefined)) return
    const runId = uuid()
    const body = {
      approvals: pending.map((p) => ({ id: p.id, approved: p.approval?.decision === 'approved' })),
      events: 'all',
      run_id: runId,
    }
    const going: Answer = {
      ...now.answer,
      status: 'running',
      outcome: undefined,
      callStart: now.answer.parts.length,
      parts: now.answer.parts.map((p) => (p.type === 'tool' && p.state === 'approval' ? { ...p, state: 'running' } : p)),
    }
    const next = { ...now, runId, answer: going }
    // Should the decision not arrive, the call is as it was: waiting for one.
    const undecided = now.answer.parts.map((p) => (p.type === 'tool' && p.state === 'approval' ? { ...p, approval: { ...p.approval, decision: undefined } } : p))
    const before = { ...now, answer: { ...now.answer, parts: undecided } }
    this.updateTurn(id, turn.key, () => next)
    void this.follow(id, next, runId, { path: `/runs/${encodeURIComponent(now.runId)}/approvals`, body }).catch((error: unknown) => {
      const { code, status } = error instanceof Problem ? error : new Problem(0, 'internal', String(error))
      if (code === 'run_gone' || status === 404 || status === 409) return void this.load(id)
      this.updateTurn(id, turn.key, () => before)
      say('approvalFailed')
    })
  }

  view(id: string, line: number | undefined) {
    this.update(id, (c) => ({ ...c, viewed: line === c.branches.length ? undefined : line }))
  }

  async rate(id: string, turn: Turn, rating: 'up' | 'down', comment?: string) {
    if (!turn.runId) return
    this.updateTurn(id, turn.key, (t) => ({ ...t, feedback: rating }))
    try {
      await this.options.api.feedback(turn.runId, rating, comment)
    } catch {
      this.updateTurn(id, turn.key, (t) => ({ ...t, feedback: turn.feedback }))
      say('ratingFailed')
    }
  }

  /** The conversation is deleted: what runs in it is of no more interest here. */
  drop(id: string) {
    this.runs.get(id)?.control.abort()
    this.conversations.delete(id)
    outbox.forget(id)
    writeDraft(id, '')
    write(stoppedKey(id), null)
    this.notify()
  }
}
