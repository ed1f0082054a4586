"""Reads a collection through STAC API Features with an unmodified client: `walk_items.py URL COLLECTION`.

Prints, as JSON, the ids of the items that are found page by page, one item each: all of them, those in a box, those of a
time, those of both, and the status that a box of three numbers gets. (Its own `get_items` wants STAC API Item Search.)
"""

import json
import sys

import pystac_client
from pystac_client.exceptions import APIError
from pystac_client.item_search import ItemSearch

EUROPE = [0, 40, 10, 50]
YEAR = "2000-01-01T00:00:00Z/2000-12-31T00:00:00Z"


def main(url, name):
    client = pystac_client.Client.open(url)
    collection = client.get_collection(name)
    address = collection.get_single_link("items").href

    def found(**wanted):
        search = ItemSearch(url=address, method="GET", client=client, limit=1, **wanted)
        pages = list(search.pages_as_dicts())
        assert all(len(page["features"]) <= 1 for page in pages), "a page has one item"
        return [item["id"] for page in pages for item in page["features"]]

    def refused(**wanted):
        try:
            return found(**wanted)
        except APIError as error:
            return error.status_code

    told = {
        "all": found(),
        "place": found(bbox=EUROPE),
        "time": found(datetime=YEAR),
        "since": found(datetime="2000-01-01T00:00:00Z/.."),
        "both": found(bbox=EUROPE, datetime=YEAR),
        "refused": refused(bbox=[1, 2, 3]),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
