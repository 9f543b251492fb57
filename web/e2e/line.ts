/** The line between the page and the server, which a test can cut and mend. */
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'

export class Line {
  private readonly ends = new Set<Socket>()
  private whole = true

  private constructor(private readonly server: Server) {}

  static async to(port: number): Promise<Line> {
    const server = createServer()
    const line = new Line(server)
    server.on('connection', (near) => {
      if (!line.whole) return void near.destroy()
      const far = connect(port, '127.0.0.1')
      for (const [from, to] of [[near, far], [far, near]] as const) {
        line.ends.add(from)
        from.on('error', () => to.destroy()).on('close', () => (line.ends.delete(from), to.destroy()))
        from.pipe(to)
      }
    })
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
    return line
  }

  get url() {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  /** Breaks every connection, and refuses new ones. */
  cut() {
    this.whole = false
    for (const end of this.ends) end.destroy()
  }

  mend() {
    this.whole = true
  }

  close() {
    this.cut()
    this.server.close()
  }
}
