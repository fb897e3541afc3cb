package org.apache.iceberg.rest;

import org.apache.iceberg.catalog.Namespace;
import org.junit.jupiter.api.AfterEach;

/** The kit's catalog tests with what has no property turned on, and nested namespaces dropped after each. */
public class WidenedCatalogTests extends RESTCompatibilityKitCatalogTests {
  @Override
  protected boolean supportsNestedNamespaces() {
    return true;
  }

  @Override
  protected boolean supportsNamesWithSlashes() {
    return true;
  }

  @AfterEach
  void dropNested() {
    catalog().listNamespaces().forEach(this::drop);
  }

  private void drop(Namespace namespace) {
    catalog().listNamespaces(namespace).forEach(this::drop);
    catalog().listTables(namespace).forEach(table -> catalog().dropTable(table, false));
    catalog().dropNamespace(namespace);
  }
}
