"""Several devices behind one interface: each network runs where the profile places it."""

from collections.abc import Mapping

from runtime.perception.inference.port import Health, Inference, Request, Result


class RoutedInference:
    """The first device is the robot's own: its health is the whole's."""

    def __init__(self, own: Inference, elsewhere: Mapping[str, Inference]) -> None:
        self._own = own
        self._elsewhere = dict(elsewhere)
        self.ledger = own.ledger
        # One ledger for all: networks have different names, so their counters never meet.
        for network, inference in self._elsewhere.items():
            self.ledger.networks[network] = inference.ledger.of(network)

    def health(self, now_ns: int) -> Health:
        return self._own.health(now_ns)

    def submit(self, request: Request, now_ns: int) -> bool:
        return self._elsewhere.get(request.network, self._own).submit(request, now_ns)

    def poll(self, now_ns: int, wait_ns: int = 0) -> list[Result]:
        results = self._own.poll(now_ns, wait_ns)
        for inference in self._devices():
            results += inference.poll(now_ns)
        return results

    def set_slowdown(self, ratio: float) -> None:
        self._own.set_slowdown(ratio)

    def close(self) -> None:
        self._own.close()
        for inference in self._devices():
            inference.close()

    def _devices(self) -> list[Inference]:
        return list({id(inference): inference for inference in self._elsewhere.values()}.values())
