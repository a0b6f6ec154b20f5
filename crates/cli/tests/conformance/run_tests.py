"""Runs a module of CPython's own tests; writes one line per test to a file: OUTCOME TAB ID.

A test that takes too long ends the process (after a line `timeout`); called again, it goes on behind that test.
"""
import faulthandler, os, sys, threading, unittest

module, path, limit = sys.argv[1], sys.argv[2], float(sys.argv[3])
import test.support
test.support.use_resources = []
done = set()
if os.path.exists(path):
    with open(path) as f:
        lines = [line.rstrip("\n").split("\t") for line in f]
    seen = {}
    for outcome, name in lines:
        seen[name] = outcome
    done = set(seen)
    with open(path, "a") as f:
        for name, outcome in seen.items():
            if outcome == "start":
                f.write(f"timeout\t{name}\n")
out = open(path, "a", buffering=1)


class Result(unittest.TestResult):
    def startTest(self, test):
        super().startTest(test)
        self.bad = None
        out.write(f"start\t{test.id()}\n")
        faulthandler.dump_traceback_later(limit, exit=True)

    def note(self, test, outcome):
        out.write(f"{outcome}\t{test.id()}\n")

    def addSuccess(self, test): self.note(test, "ok")
    def addError(self, test, err): super().addError(test, err); self.tell(test, err); self.note(test, "error")
    def addFailure(self, test, err): super().addFailure(test, err); self.tell(test, err); self.note(test, "fail")
    def addSkip(self, test, why): self.note(test, "skip")
    def addExpectedFailure(self, test, err): self.note(test, "ok")
    def addUnexpectedSuccess(self, test): self.note(test, "fail")
    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.tell(test, err); self.note(test, "fail")

    def tell(self, test, err):
        sys.stderr.write(f"== {test.id()}\n{self._exc_info_to_string(err, test)}\n")


def flat(suite):
    for t in suite:
        if isinstance(t, unittest.TestSuite):
            yield from flat(t)
        else:
            yield t


tests = [t for t in flat(unittest.defaultTestLoader.loadTestsFromName(module)) if t.id() not in done]
unittest.TestSuite(tests).run(Result())
faulthandler.cancel_dump_traceback_later()
out.write("end\tend\n")
out.flush()
os._exit(0)
