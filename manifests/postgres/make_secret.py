"""Make the demo database's Secret with passwords of its own, once; run by the Job beside it in our image."""

import os
import secrets

from kubetuna_operator.kube.api_client import Api, Refused, collection

HOST = "kubetuna-postgres/kubetuna"


def passwords() -> dict[str, str]:
    admin, owner, reader = (secrets.token_urlsafe(24) for _ in range(3))
    return {
        "admin-password": admin,
        "password": owner,
        "reader-password": reader,
        "url": f"postgresql+psycopg2://kubetuna:{owner}@{HOST}",
        "read-only-url": f"postgresql+psycopg2://kubetuna_reader:{reader}@{HOST}",
    }


def main() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "kubetuna-database"}}
    try:
        Api.connect(None).create(
            collection("secrets", os.environ["POD_NAMESPACE"]), {**secret, "stringData": passwords()}
        )
        print("made the Secret kubetuna-database")
    except Refused as error:
        if error.code != 409:
            raise
        print("the Secret kubetuna-database is there, and stays as it is")


if __name__ == "__main__":
    main()
