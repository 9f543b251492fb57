/** The agent's own logo where it is on this origin, else the program's. */
import { useServices } from './context'

export const DEFAULT_LOGO = '/favicon.svg'

export function Logo({ className }: { className?: string }) {
  const { logo } = useServices().config.agent
  return <img src={logo ?? DEFAULT_LOGO} alt="" width={28} height={28} className={className} />
}
