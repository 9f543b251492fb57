/** The last resort: says that the page broke, instead of leaving it blank. What was written is kept as a draft. */
import { Component, type ReactNode } from 'react'
import { buttonClass } from './ui'

interface Props {
  children: ReactNode
  message: string
  action: string
}

export class Boundary extends Component<Props, { broken: boolean }> {
  state = { broken: false }
  static getDerivedStateFromError = () => ({ broken: true })

  render() {
    if (!this.state.broken) return this.props.children
    return (
      <main className="grid h-dvh place-items-center">
        <div role="alert" className="flex flex-col items-center gap-4 text-dim">
          <p>{this.props.message}</p>
          <button type="button" className={buttonClass} onClick={() => location.reload()}>{this.props.action}</button>
        </div>
      </main>
    )
  }
}
