"""Searches a STAC API with an unmodified client: `find_items.py URL COLLECTION`.

Looks for the items of a collection that lie in Europe in the year 2000, and prints them as the client has them, and
the extent of the collection (`null` where there is no such collection).
"""

import json
import sys

import pystac_client


def main(url, collection):
    client = pystac_client.Client.open(url)
    search = client.search(
        collections=[collection], bbox=[0, 40, 10, 50], datetime="2000-01-01T00:00:00Z/2000-12-31T00:00:00Z"
    )
    items = [item.to_dict(transform_hrefs=False) for item in search.items()]
    found = client.get_collection(collection)
    print(json.dumps({"items": items, "extent": found and found.extent.to_dict()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
