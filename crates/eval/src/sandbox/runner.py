import os, signal, sys


class Late(BaseException):
    pass


def main():
    seconds = float(sys.argv[1])
    with open(0, "rb", closefd=False) as source:
        nonce, _, program = source.read().decode("utf-8", "replace").partition("\n")
    out = os.dup(1)
    null = os.open("/dev/null", os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    sys.argv = ["program.py"]

    # The program may replace them.
    leave, write, pid, timer = os._exit, os.write, os.getpid, signal.setitimer
    own, alarm = pid(), signal.ITIMER_REAL

    def late(*_):
        raise Late

    signal.signal(signal.SIGALRM, late)
    timer(alarm, seconds)
    try:
        try:
            exec(compile(program, "program.py", "exec"), {"__name__": "__main__"})
        finally:
            timer(alarm, 0)
        verdict = "passed"
    except Late:
        verdict = "late"
    except BaseException as error:
        try:
            text = " ".join(("%s: %s" % (type(error).__name__, error)).split())[:300]
        except BaseException:
            text = "an exception that cannot be shown"
        verdict = "failed\t" + text
    # A child that the program forked and that came back here says nothing.
    if pid() != own:
        leave(1)
    write(out, ("\n%s\t%s\n" % (nonce, verdict)).encode("utf-8", "replace"))
    leave(0)


main()
