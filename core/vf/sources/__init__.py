"""Where images to predict come from: files, folders, zips, addresses, videos, cameras, arrays."""
