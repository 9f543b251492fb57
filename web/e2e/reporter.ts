/** One plain closing line, for scripts that count. */
import type { FullResult, Reporter, Suite } from '@playwright/test/reporter'

export default class Counts implements Reporter {
  private suite: Suite | undefined
  onBegin(_: unknown, suite: Suite) {
    this.suite = suite
  }
  onEnd(result: FullResult) {
    const outcomes = (this.suite?.allTests() ?? []).map((test) => test.outcome())
    const passed = outcomes.filter((o) => o === 'expected').length
    const failed = outcomes.filter((o) => o === 'unexpected' || o === 'flaky').length
    console.log(`${passed} passed, ${failed || (result.status === 'passed' ? 0 : outcomes.length - passed)} failed`)
  }
}
