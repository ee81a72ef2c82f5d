from fleet.api.reference import DOCUMENT, described, reference, role_of


def test_reference_is_what_the_api_says_of_itself():
    why = "made again by  python -m fleet.api.reference"
    assert DOCUMENT.read_text() == reference(described()), why


def test_every_operation_has_a_role_of_its_own_in_the_table():
    for path, operations in described()["paths"].items():
        for method in operations:
            if "/people" not in path and "/audit" not in path:
                assert role_of(method, path) != "admin", (method, path)


def test_every_operation_tells_its_errors():
    for path, operations in described()["paths"].items():
        for operation in operations.values():
            assert {"401", "403", "429", "503"} <= set(operation["responses"]), path
            assert operation["summary"]
