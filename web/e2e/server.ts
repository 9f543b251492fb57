/** The real program, started in a folder of its own on a free port, with the test's model behind it. */
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout } from 'node:timers/promises'

export const freePort = (): Promise<number> =>
  new Promise((done) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number }
      probe.close(() => done(port))
    })
  })

export const binary = (): string => {
  const targets = [process.env.CARGO_TARGET_DIR, resolve(import.meta.dirname, '../../target')].filter((t) => t !== undefined)
  const found = [process.env.LOQUAT_BIN, ...targets.map((t) => join(t, 'debug/loquat'))].find((path) => path && existsSync(path))
  if (!found) throw new Error('The program is not built: run `npm run build` here, then `cargo build`, or set LOQUAT_BIN.')
  return found
}

/** The model's key in every browser test: `cargo xtask test` looks for its beginning in everything that is printed. */
export const CANARY = 'sk-canary-browser'

/** No key and no token (they begin as every JWT does) may be in what the program wrote. */
export const expectNoSecrets = (log: string): void => {
  const line = log.split('\n').find((text) => text.includes('sk-canary') || /eyJ[\w-]{8}/.test(text))
  if (line !== undefined) throw new Error(`A secret is in the program's log: ${line}`)
}

interface Options {
  port?: number
  /** Files beside `loquat.toml`. */
  files?: Record<string, string>
  env?: Record<string, string>
}

/** What runs. A test whose time is over never gets to stop it, but its process ends. */
const children = new Set<ChildProcess>()
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')))

/** How long the program may take to start, or to end when it is asked to. */
const PATIENCE_MS = 20_000

export class Server {
  private child: ChildProcess | undefined
  private log = ''

  private constructor(
    readonly port: number,
    private readonly home: string,
    private readonly env: Record<string, string>,
  ) {}

  /** Without `modelUrl` the program answers by its embedded model. */
  static async start(modelUrl: string | undefined, toml: string, options: Options = {}): Promise<Server> {
    const home = mkdtempSync(join(tmpdir(), 'loquat-e2e-'))
    for (const [name, text] of Object.entries({ 'loquat.toml': toml, ...options.files })) writeFileSync(join(home, name), text)
    const server = new Server(options.port ?? (await freePort()), home, {
      ...(modelUrl !== undefined && { MODEL_ID: 'openai/test', OPENAI_BASE_URL: modelUrl, OPENAI_API_KEY: CANARY }),
      LOQUAT_DATA_DIR: join(home, 'data'),
      ...options.env,
    })
    await server.launch()
    return server
  }

  get url() {
    return `http://127.0.0.1:${this.port}`
  }

  /** Starts it, or starts it again on the same port and data after `kill`. */
  async launch() {
    const passed = ['PATH', 'HOME', 'XDG_CACHE_HOME', 'LOQUAT_MODEL_DIR'].flatMap((name) => {
      const value = process.env[name]
      return value === undefined ? [] : [[name, value]]
    })
    const program = binary()
    // The stand-in of test/ is a script.
    const [command, ...args] = program.endsWith('.mjs') ? [process.execPath, program] : [program, 'serve']
    const child = spawn(command as string, args, {
      cwd: this.home,
      env: { ...Object.fromEntries(passed), PORT: String(this.port), AGENT_NAME: 'Ada', ...this.env },
    })
    this.child = child
    children.add(child)
    child.on('exit', () => children.delete(child))
    const keep = (data: Buffer) => void (this.log += data.toString())
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    const deadline = Date.now() + PATIENCE_MS
    for (;;) {
      if (child.exitCode !== null || Date.now() > deadline) throw new Error(`The server did not start:\n${this.log}`)
      const healthy = await fetch(`${this.url}/health`, { signal: AbortSignal.timeout(PATIENCE_MS) }).then((r) => r.ok, () => false)
      if (healthy) return
      await setTimeout(25)
    }
  }

  /** Ends it at once, as a power cut would. */
  async kill() {
    const child = this.child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise((resolve) => child.on('exit', resolve))
    child.kill('SIGKILL')
    await gone
  }

  /** Asks it to end, as a deployment does, and starts it anew on the same port and data. */
  async restart() {
    const child = this.child
    const gone = new Promise((resolve) => child?.on('exit', () => resolve(true)))
    child?.kill('SIGTERM')
    if (!(await Promise.race([gone, setTimeout(PATIENCE_MS, false, { ref: false })])))
      throw new Error(`The server did not end when it was asked to:\n${this.log}`)
    await this.launch()
  }

  /** Stops its time, as a machine that hangs would: connections stay open and say nothing. */
  freeze(frozen: boolean) {
    this.child?.kill(frozen ? 'SIGSTOP' : 'SIGCONT')
  }

  async stop() {
    await this.kill()
    rmSync(this.home, { recursive: true, force: true })
    expectNoSecrets(this.log)
  }
}
