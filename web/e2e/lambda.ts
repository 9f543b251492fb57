/** The Lambda binary behind the emulator of function URLs: several processes, and a deadline that comes soon. */
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { CANARY, binary, expectNoSecrets, freePort } from './server'

export class Lambda {
  private log = ''

  private constructor(
    readonly url: string,
    private readonly home: string,
    private readonly child: ChildProcess,
  ) {}

  /** `seconds`: how long one invocation may take; the program hands a stream over 20 s before that. */
  static async start(modelUrl: string, toml: string, seconds: number): Promise<Lambda> {
    const folder = dirname(binary())
    const emulator = process.env.LOQUAT_BENCH_BIN ?? join(folder, 'loquat-bench')
    const bootstrap = join(folder, 'bootstrap')
    for (const path of [emulator, bootstrap]) if (!existsSync(path)) throw new Error(`${path} is not built: run \`cargo build --workspace\`.`)
    const home = mkdtempSync(join(tmpdir(), 'loquat-lambda-'))
    writeFileSync(join(home, 'loquat.toml'), toml)
    const [port, runtime] = [await freePort(), await freePort()]
    const address = `127.0.0.1:${port}`
    const words = ['lambda', '--listen', address, '--runtime-listen', `127.0.0.1:${runtime}`, '--event', 'function-url', '--instances', '6']
    // A function has its own variables and nothing of the machine's.
    const variables = {
      MODEL_ID: 'openai/test', OPENAI_BASE_URL: modelUrl, OPENAI_API_KEY: CANARY, LOQUAT_STORE: 'sqlite', LOQUAT_DATA_DIR: join(home, 'data'),
    }
    const set = Object.entries(variables).flatMap(([name, value]) => ['--env', `${name}=${value}`])
    const child = spawn(emulator, [...words, '--total-seconds', String(seconds), ...set, '--', bootstrap], {
      cwd: home,
      env: { PATH: process.env.PATH, HOME: home },
      detached: true,
    })
    const lambda = new Lambda(`http://${address}`, home, child)
    const keep = (data: Buffer) => void (lambda.log += data.toString())
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    const deadline = Date.now() + 20_000
    while (!(await fetch(`${lambda.url}/health`).then((r) => r.ok, () => false))) {
      if (child.exitCode !== null || Date.now() > deadline) {
        lambda.stop()
        throw new Error(`The emulator of Lambda did not start:\n${lambda.log}`)
      }
      await new Promise((wait) => setTimeout(wait, 50))
    }
    return lambda
  }

  stop() {
    try {
      if (this.child.pid !== undefined) process.kill(-this.child.pid, 'SIGKILL')
    } catch {
      // It has ended by itself.
    }
    rmSync(this.home, { recursive: true, force: true, maxRetries: 5 })
    expectNoSecrets(this.log)
  }
}
