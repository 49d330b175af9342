/** Tests that a way of mounting can't pass. Each is run, and must fail: what passes after all is to be taken off its list. */
import type { RunnerTestCase } from "vitest";

/** The reason, a file of test/mount, and the names of tests in it. */
export type Limit = readonly [reason: string, file: string, tests: RegExp];

/** Has a test that is on the list fail, and the run fail where it does not. */
export function expectFailure(limits: readonly Limit[], test: Readonly<RunnerTestCase>): void {
  const { filepath } = test.file;
  if (limits.some(([, file, tests]) => filepath.endsWith(`/${file}.test.ts`) && tests.test(test.name))) {
    (test as RunnerTestCase).fails = true;
  }
}
