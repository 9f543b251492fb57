/** The list of conversations: pages, search, renaming, and deleting with time to think again. */
import { Problem, type Api } from '../api/transport'
import type { SessionSummary } from '../api/types'
import { say } from '../lib/notice'
import { pause } from '../lib/pause'

export interface SessionList {
  items: SessionSummary[]
  phase: 'loading' | 'ready' | 'error'
  query: string
  nextCursor?: string
  loadingMore: boolean
  /** Deleted in the list, not yet on the server. */
  leaving?: SessionSummary
}

export const UNDO_MS = 6000
const PATIENCE_MS = 150
/** Signing out does not wait longer for a server that does not answer. */
const PARTING_MS = 2000

export class Sessions {
  private state: SessionList = { items: [], phase: 'loading', query: '', loadingMore: false }
  private listeners = new Set<() => void>()
  private asked: AbortController | undefined
  /** What the items are the answer to: those of another search are no stand-in for one that failed. */
  private shown = ''
  private soon: ReturnType<typeof setTimeout> | undefined
  private undo: ReturnType<typeof setTimeout> | undefined

  constructor(private readonly api: Api) {
    // A tab that is closed within the time to undo still deletes.
    addEventListener('pagehide', this.leave)
  }

  private leave = () => void this.commitRemoval(true)

  /** The reader signs out: what was deleted is deleted, and nothing more is asked for. */
  async end() {
    removeEventListener('pagehide', this.leave)
    await Promise.race([this.commitRemoval(true), pause(PARTING_MS, new AbortController().signal)])
    clearTimeout(this.soon)
  }

  subscribe = (listener: () => void) => {
    this.listeners.add(listener)
    return () => void this.listeners.delete(listener)
  }
  snapshot = () => this.state

  private set(change: Partial<SessionList>) {
    this.state = { ...this.state, ...change }
    for (const listener of this.listeners) listener()
  }

  /** Asks again a moment from now; many changes make one request. */
  refresh = (delay = PATIENCE_MS): void => {
    clearTimeout(this.soon)
    this.soon = setTimeout(() => void this.load(), delay)
  }

  search(query: string) {
    this.set({ query })
    this.refresh(200)
  }

  private async load() {
    this.asked?.abort()
    const asked = (this.asked = new AbortController())
    const query = this.state.query.trim()
    try {
      const page = await this.api.sessions(query, undefined, asked.signal)
      const known = page.sessions.filter((s) => s.session_id !== this.state.leaving?.session_id)
      this.shown = query
      this.set({ items: known, nextCursor: page.next_cursor, phase: 'ready' })
    } catch (error) {
      if (error instanceof Problem && error.status === 401) return void this.api.auth.signInAgain().then(() => this.refresh(0))
      if (!asked.signal.aborted) this.set({ phase: this.state.items.length > 0 && query === this.shown ? 'ready' : 'error' })
    }
  }

  async more() {
    if (!this.state.nextCursor || this.state.loadingMore) return
    this.set({ loadingMore: true })
    try {
      const page = await this.api.sessions(this.state.query.trim(), this.state.nextCursor)
      const have = new Set(this.state.items.map((s) => s.session_id))
      const fresh = page.sessions.filter((s) => !have.has(s.session_id))
      this.set({ items: [...this.state.items, ...fresh], nextCursor: page.next_cursor })
    } catch {
      say('listFailed') // and the button stays, to try again
    } finally {
      this.set({ loadingMore: false })
    }
  }

  /** Shows a conversation in the list before the server has told of it. */
  mention(id: string, title: string) {
    const now = new Date().toISOString()
    const known = this.state.items.find((s) => s.session_id === id)
    const item = known ?? { session_id: id, title: title.replace(/\s+/g, ' ').trim().slice(0, 60), created_at: now, updated_at: now, message_count: 0 }
    this.set({ items: [{ ...item, updated_at: now }, ...this.state.items.filter((s) => s.session_id !== id)] })
  }

  async rename(id: string, title: string) {
    const before = this.state.items.find((s) => s.session_id === id)?.title
    const call = (name: string) => this.set({ items: this.state.items.map((s) => (s.session_id === id ? { ...s, title: name } : s)) })
    // A list that is on its way has the old title.
    this.asked?.abort()
    call(title)
    try {
      await this.api.rename(id, title)
    } catch {
      if (before !== undefined) call(before)
      say('renameFailed', { title })
    }
    // So may one have that was asked for meanwhile.
    this.refresh()
  }

  remove(id: string) {
    void this.commitRemoval()
    const leaving = this.state.items.find((s) => s.session_id === id)
    if (!leaving) return
    this.set({ leaving, items: this.state.items.filter((s) => s !== leaving) })
    this.undo = setTimeout(() => void this.commitRemoval(), UNDO_MS)
  }

  undoRemoval() {
    clearTimeout(this.undo)
    this.set({ leaving: undefined })
    this.refresh(0)
  }

  private async commitRemoval(keepalive = false) {
    clearTimeout(this.undo)
    const { leaving } = this.state
    if (!leaving) return
    try {
      await this.api.remove(leaving.session_id, keepalive)
    } catch (error) {
      // It comes back in the list. One that is gone already is what was wanted.
      if (!(error instanceof Problem && error.status === 404)) say('deleteFailed', { title: leaving.title })
    }
    if (this.state.leaving === leaving) this.set({ leaving: undefined })
    this.refresh()
  }

  async removeAll() {
    await this.api.removeAll()
    this.set({ items: [], nextCursor: undefined })
    this.refresh()
  }
}
