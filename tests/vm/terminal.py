"""A terminal outside of the machine: it pushes over HTTP, as ADMS terminals do, and forgets what is acknowledged.

It outlives every power cut of the machine: what it was told OK for is what the gateway owes.
"""

import http.client
import threading
import time
from datetime import datetime, timezone


class Terminal:
    """Punches at so many a second for as long as it is `at_work`."""

    def __init__(self, serial, port, rate):
        self.serial, self.port, self.rate = serial, port, rate
        self.number = 0
        self.acknowledged = []
        self.refused = 0
        self.waiting = []
        self.is_at_work = threading.Event()
        self.lock = threading.Lock()
        # Held while a request is under way.
        self.posting = threading.Lock()
        threading.Thread(target=self._work, daemon=True).start()

    def owed(self):
        """Every person whose punch was acknowledged."""
        with self.lock:
            return list(self.acknowledged)

    def until_acknowledged(self, more, limit):
        """Whether so many more punches were acknowledged in that time."""
        goal = len(self.owed()) + more
        late = time.monotonic() + limit
        while time.monotonic() < late:
            if len(self.owed()) >= goal:
                return True
            time.sleep(0.1)
        return False

    def until_refused(self, more, limit):
        """Whether it was refused so many more times in that time."""
        goal = self.refused + more
        late = time.monotonic() + limit
        while time.monotonic() < late and self.refused < goal:
            time.sleep(0.1)
        return self.refused >= goal

    def has_punched(self, person):
        """Whether this is a person that it let in."""
        return person.isdigit() and 0 < int(person) <= self.number

    def pause(self):
        """Punches no more; returns when its last request is through, so that nothing is added to what is owed."""
        self.is_at_work.clear()
        with self.posting:
            pass

    def _work(self):
        while True:
            self.is_at_work.wait()
            if not self.waiting:
                # A person each, so that none is like another. Its clock is right, and runs by UTC.
                local = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
                for _ in range(5):
                    self.number += 1
                    self.waiting.append((f"{self.number:07}", local))
            with self.posting:
                if not self.is_at_work.is_set():
                    continue
                is_taken = self._post()
                if is_taken:
                    with self.lock:
                        self.acknowledged += [person for person, _ in self.waiting]
                    self.waiting = []
                else:
                    self.refused += 1
            time.sleep(5 / self.rate if is_taken else 0.5)

    def _post(self):
        """Whether all of them were acknowledged: whatever else is said or not said, the terminal sends them again."""
        body = "".join(f"{person}\t{local}\t0\t1\t0\t0\t0\n" for person, local in self.waiting).encode()
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            link.request("POST", f"/iclock/cdata?SN={self.serial}&table=ATTLOG&Stamp=9999", body)
            answer = link.getresponse()
            return answer.status == 200 and answer.read().strip().startswith(b"OK")
        except (OSError, http.client.HTTPException):
            return False
        finally:
            link.close()
